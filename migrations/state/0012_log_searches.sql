-- Searches that people gave a name to; an owner of '' is everybody, as on a server without accounts.
CREATE TABLE log_search (
  id INTEGER PRIMARY KEY,
  owner TEXT NOT NULL,
  name TEXT NOT NULL,
  query TEXT NOT NULL,
  created_at REAL NOT NULL,
  UNIQUE (owner, name)
);
