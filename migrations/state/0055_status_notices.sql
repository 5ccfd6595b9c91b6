-- What people write on the status page about an incident; the state of the newest update is the notice's.
CREATE TABLE status_notice (
  id INTEGER PRIMARY KEY,
  title TEXT NOT NULL,
  parts_json TEXT NOT NULL,
  began_at REAL NOT NULL,
  ended_at REAL
);
CREATE TABLE status_notice_update (
  id INTEGER PRIMARY KEY,
  notice INTEGER NOT NULL REFERENCES status_notice (id) ON DELETE CASCADE,
  at REAL NOT NULL,
  state TEXT NOT NULL,
  text TEXT NOT NULL,
  written_by TEXT NOT NULL
);
CREATE INDEX status_notice_update_of ON status_notice_update (notice, id);
