-- Planned work: once from `starts_at` (epoch seconds), or whenever `schedule` (a cron expression) says.
CREATE TABLE maintenance (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  checks TEXT NOT NULL,
  matchers TEXT NOT NULL,
  starts_at REAL,
  duration_s REAL NOT NULL,
  schedule TEXT NOT NULL DEFAULT '',
  zone TEXT NOT NULL DEFAULT 'UTC',
  made_by TEXT NOT NULL DEFAULT '',
  made_at REAL NOT NULL
) WITHOUT ROWID;
