-- State changes of checks: a check is in `state` from `at` (epoch seconds) until its next row.
CREATE TABLE check_change (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  at REAL NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('up', 'down', 'degraded', 'unknown')),
  message TEXT NOT NULL
);
CREATE INDEX check_change_name_at ON check_change (name, at);
-- When each check last ran, so that a stop of mamimon itself shows as unknown, not as up or down.
CREATE TABLE check_seen (
  name TEXT PRIMARY KEY,
  at REAL NOT NULL
) WITHOUT ROWID;
