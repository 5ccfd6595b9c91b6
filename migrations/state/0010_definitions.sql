-- What clients of the Elasticsearch door installed (templates, policies, pipelines), as they sent it.
CREATE TABLE log_definition (
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  body TEXT NOT NULL,
  version INTEGER NOT NULL,
  updated_at REAL NOT NULL,
  PRIMARY KEY (kind, name)
) WITHOUT ROWID;
