-- Facts about this installation: its id, when it was made, keys that must survive a restart.
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('installation_id', lower(hex(randomblob(16))));
