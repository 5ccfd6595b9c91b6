-- How far log forwarding has come, by target (the URL without its user and password).
CREATE TABLE forward_cursor (
  target TEXT PRIMARY KEY,
  cursor TEXT NOT NULL,
  sent INTEGER NOT NULL DEFAULT 0,
  at REAL NOT NULL
) WITHOUT ROWID;
-- Documents that the target refused for good, and why; the oldest give way to new ones.
CREATE TABLE forward_dead (
  id INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  target TEXT NOT NULL,
  index_name TEXT NOT NULL,
  doc_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  document BLOB NOT NULL
);
