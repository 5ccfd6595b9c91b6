-- What each save of a dashboard left behind, newest number last; the highest is what is shown.
CREATE TABLE dashboard_version (
  slug TEXT NOT NULL,
  version INTEGER NOT NULL,
  body TEXT NOT NULL,
  saved_at REAL NOT NULL,
  saved_by TEXT NOT NULL,
  PRIMARY KEY (slug, version)
) WITHOUT ROWID;
INSERT INTO dashboard_version SELECT slug, 1, body, updated_at, '' FROM dashboard;

-- Links that show one dashboard to whoever has them: of the token only the hash is kept. `query` is the
-- time range and the picked variables.
CREATE TABLE dashboard_share (
  token_hash TEXT PRIMARY KEY,
  slug TEXT NOT NULL,
  query TEXT NOT NULL,
  created_at REAL NOT NULL,
  created_by TEXT NOT NULL,
  expires_at REAL
) WITHOUT ROWID;
CREATE INDEX dashboard_share_slug ON dashboard_share (slug);
