-- What a check said is kept as a sentence with values beside its English text, to be shown in any
-- language; and a check may be in maintenance.
CREATE TABLE check_change_new (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  at REAL NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('up', 'down', 'degraded', 'unknown', 'maintenance')),
  message TEXT NOT NULL,
  said TEXT NOT NULL DEFAULT ''
);
INSERT INTO check_change_new (id, name, at, state, message) SELECT id, name, at, state, message FROM check_change;
DROP TABLE check_change;
ALTER TABLE check_change_new RENAME TO check_change;
CREATE INDEX check_change_name_at ON check_change (name, at);
