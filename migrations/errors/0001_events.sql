-- One month of error events: errors/YYYY-MM.db.
CREATE TABLE event (
  row INTEGER PRIMARY KEY,
  event_id TEXT NOT NULL,
  issue_id INTEGER NOT NULL,
  time REAL NOT NULL,
  title TEXT NOT NULL,
  level TEXT NOT NULL,
  release TEXT NOT NULL,
  environment TEXT NOT NULL,
  user TEXT NOT NULL,
  request_id TEXT NOT NULL,
  sample INTEGER NOT NULL,          -- 0: kept only until the issue's next event
  body BLOB NOT NULL                -- the regular event as JSON, zstd
);
CREATE INDEX event_issue ON event (issue_id, time, row);
CREATE UNIQUE INDEX event_id ON event (event_id);
CREATE UNIQUE INDEX event_newest ON event (issue_id) WHERE sample = 0;
CREATE INDEX event_request ON event (request_id) WHERE request_id <> '';

-- Exact counts, whatever sampling keeps.
CREATE TABLE issue_hour (
  issue_id INTEGER NOT NULL,
  hour INTEGER NOT NULL,            -- hours since the epoch
  count INTEGER NOT NULL,
  PRIMARY KEY (issue_id, hour)
) WITHOUT ROWID;
CREATE TABLE issue_month (
  issue_id INTEGER PRIMARY KEY,
  count INTEGER NOT NULL,
  kept INTEGER NOT NULL
);
CREATE TABLE minute (
  minute INTEGER NOT NULL,          -- minutes since the epoch
  project_id INTEGER NOT NULL,
  level TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (minute, project_id, level)
) WITHOUT ROWID;
CREATE TABLE tag (
  issue_id INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (issue_id, key, value)
) WITHOUT ROWID;

-- What each batch added, until mamimon.db has it.
CREATE TABLE batch (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  delta BLOB NOT NULL
);
