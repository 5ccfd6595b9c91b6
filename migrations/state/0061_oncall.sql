-- Who is on call: the rota (one row), who stands in for whom, and when each person sleeps (inside the rota).
CREATE TABLE oncall_rota (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  body_json TEXT NOT NULL
);

CREATE TABLE oncall_override (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  person TEXT NOT NULL,
  starts_at REAL NOT NULL,
  ends_at REAL NOT NULL,
  made_by TEXT NOT NULL DEFAULT ''
);
CREATE INDEX oncall_override_ends ON oncall_override (ends_at);
