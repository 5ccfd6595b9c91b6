-- Projects, their keys, and issues. The events themselves are in errors/YYYY-MM.db.
CREATE TABLE error_project (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created_at REAL NOT NULL
);

-- A DSN's public key. It is public by nature: it only names where events go.
CREATE TABLE error_key (
  public_key TEXT PRIMARY KEY,
  project_id INTEGER NOT NULL REFERENCES error_project(id) ON DELETE CASCADE,
  active INTEGER NOT NULL DEFAULT 1,
  created_at REAL NOT NULL
) WITHOUT ROWID;

-- Counts are exact over every event ever taken, also those that sampling did not keep.
CREATE TABLE error_issue (
  id INTEGER PRIMARY KEY,
  project_id INTEGER NOT NULL REFERENCES error_project(id) ON DELETE CASCADE,
  title TEXT NOT NULL,
  culprit TEXT NOT NULL,
  level TEXT NOT NULL,
  platform TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'unresolved' CHECK (status IN ('unresolved', 'resolved', 'ignored')),
  count INTEGER NOT NULL DEFAULT 0,
  users INTEGER NOT NULL DEFAULT 0,
  first_seen REAL NOT NULL,
  last_seen REAL NOT NULL,
  first_release TEXT NOT NULL DEFAULT '',
  last_release TEXT NOT NULL DEFAULT '',
  resolved_at REAL NOT NULL DEFAULT 0,
  resolved_in TEXT NOT NULL DEFAULT '',
  ignored_until_count INTEGER NOT NULL DEFAULT 0,
  ignored_until REAL NOT NULL DEFAULT 0,
  regressed INTEGER NOT NULL DEFAULT 0,
  unhandled INTEGER NOT NULL DEFAULT 0,
  assignee TEXT NOT NULL DEFAULT '',
  grouping TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX error_issue_seen ON error_issue (status, last_seen);

-- A grouping hash belongs to one issue; merging moves hashes.
CREATE TABLE error_hash (
  project_id INTEGER NOT NULL,
  hash TEXT NOT NULL,
  issue_id INTEGER NOT NULL REFERENCES error_issue(id) ON DELETE CASCADE,
  PRIMARY KEY (project_id, hash)
) WITHOUT ROWID;
CREATE INDEX error_hash_issue ON error_hash (issue_id);

-- Who met an issue, as a keyed hash: enough to count people, not to know them.
CREATE TABLE error_user (
  issue_id INTEGER NOT NULL REFERENCES error_issue(id) ON DELETE CASCADE,
  user_hash BLOB NOT NULL,
  PRIMARY KEY (issue_id, user_hash)
) WITHOUT ROWID;

CREATE TABLE error_activity (
  id INTEGER PRIMARY KEY,
  issue_id INTEGER NOT NULL REFERENCES error_issue(id) ON DELETE CASCADE,
  at REAL NOT NULL,
  kind TEXT NOT NULL,
  who TEXT NOT NULL DEFAULT '',
  detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX error_activity_issue ON error_activity (issue_id, id);

CREATE TABLE error_feedback (
  id INTEGER PRIMARY KEY,
  project_id INTEGER NOT NULL REFERENCES error_project(id) ON DELETE CASCADE,
  event_id TEXT NOT NULL,
  at REAL NOT NULL,
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  text TEXT NOT NULL
);
CREATE INDEX error_feedback_event ON error_feedback (event_id);

-- The last batch of each month's file whose counts are in error_issue; a crash between the two
-- files is made good at start from the batches beyond it.
CREATE TABLE error_applied (
  month TEXT PRIMARY KEY,
  batch INTEGER NOT NULL
) WITHOUT ROWID;

-- Small secrets of this room: the key of error_user's hashes.
CREATE TABLE error_secret (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;
