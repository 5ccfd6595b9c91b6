-- Each day that was deleted: written before the file goes, done_at when it is gone.
CREATE TABLE deletion (
  id INTEGER PRIMARY KEY,
  signal TEXT NOT NULL,
  day TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  backup TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  started_at REAL NOT NULL,
  done_at REAL
);
-- Each clean-up: when it ended and what it could not do.
CREATE TABLE cleanup_run (
  id INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  deleted INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  message TEXT NOT NULL
);
