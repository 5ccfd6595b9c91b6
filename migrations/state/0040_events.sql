-- Keys that turn a person into a pseudonym. A dropped key keeps its row, without the secret: what
-- was stored under it can no longer be tied to anybody.
CREATE TABLE pseudonym_key (
  id INTEGER PRIMARY KEY,
  secret BLOB,
  created_at REAL NOT NULL,
  dropped_at REAL,
  CHECK ((secret IS NULL) = (dropped_at IS NOT NULL))
);
