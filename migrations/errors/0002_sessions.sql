-- Release health: how many sessions there were and how they ended. A session belongs to the hour it began in.
CREATE TABLE session_hour (
  project_id INTEGER NOT NULL,
  release TEXT NOT NULL,
  environment TEXT NOT NULL,
  hour INTEGER NOT NULL,            -- hours since the epoch
  started INTEGER NOT NULL,
  errored INTEGER NOT NULL,         -- ended otherwise than well, the crashed and abnormal ones included
  abnormal INTEGER NOT NULL,
  crashed INTEGER NOT NULL,
  PRIMARY KEY (project_id, release, environment, hour)
) WITHOUT ROWID;

-- Sessions that reported trouble, so that each counts once however often it reports.
CREATE TABLE session_trouble (
  project_id INTEGER NOT NULL,
  session BLOB NOT NULL,            -- keyed hash of the session's id
  state INTEGER NOT NULL,           -- 1 errored, 2 abnormal, 3 crashed
  PRIMARY KEY (project_id, session)
) WITHOUT ROWID;

-- Who had sessions, as a keyed hash, and the worst of a day.
CREATE TABLE session_user (
  project_id INTEGER NOT NULL,
  release TEXT NOT NULL,
  environment TEXT NOT NULL,
  day INTEGER NOT NULL,             -- days since the epoch
  user BLOB NOT NULL,
  state INTEGER NOT NULL,           -- 0 healthy, else as above
  PRIMARY KEY (project_id, release, environment, day, user)
) WITHOUT ROWID;

-- Attachments of events that are kept.
CREATE TABLE attachment (
  event_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL,
  body BLOB NOT NULL,               -- zstd
  PRIMARY KEY (event_id, number)
) WITHOUT ROWID;
