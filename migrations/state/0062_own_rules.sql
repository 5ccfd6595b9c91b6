-- Alert rules that people made on the rules page; those of files stay in their files.
CREATE TABLE own_rule (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  body_json TEXT NOT NULL
);
