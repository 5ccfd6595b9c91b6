-- Dashboards that people made. `body` is the dashboard as JSON (`mamimon.dashboards.model.Dashboard`).
CREATE TABLE dashboard (
  slug TEXT PRIMARY KEY,
  title TEXT NOT NULL,
  body TEXT NOT NULL,
  created_at REAL NOT NULL,
  updated_at REAL NOT NULL
) WITHOUT ROWID;
