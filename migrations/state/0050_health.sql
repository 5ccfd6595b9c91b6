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
-- Jobs that report by themselves; pinged by their id.
CREATE TABLE heartbeat (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  period_s REAL NOT NULL,
  grace_s REAL NOT NULL,
  created_at REAL NOT NULL,
  started_at REAL,
  last_at REAL,
  last_kind TEXT NOT NULL DEFAULT '',
  due_at REAL
) WITHOUT ROWID;
-- The newest pings of each.
CREATE TABLE heartbeat_ping (
  id INTEGER PRIMARY KEY,
  heartbeat TEXT NOT NULL REFERENCES heartbeat (id) ON DELETE CASCADE,
  at REAL NOT NULL,
  kind TEXT NOT NULL,
  exit_code INTEGER,
  duration_s REAL,
  source TEXT NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX heartbeat_ping_of ON heartbeat_ping (heartbeat, id);
