-- Source maps and minified files of releases: errors/artifacts.db.
CREATE TABLE artifact (
  id INTEGER PRIMARY KEY,
  project_id INTEGER NOT NULL,
  release TEXT NOT NULL,
  dist TEXT NOT NULL,
  url TEXT NOT NULL,                -- as uploaded: ~/assets/app.js
  name TEXT NOT NULL,               -- its last part
  kind TEXT NOT NULL,               -- source, minified_source or source_map
  debug_id TEXT NOT NULL,           -- 32 hex digits, or empty
  map_url TEXT NOT NULL,            -- where a minified file says its map is
  hash BLOB NOT NULL,
  created_at REAL NOT NULL
);
CREATE UNIQUE INDEX artifact_place ON artifact (project_id, release, dist, url, debug_id);
CREATE INDEX artifact_debug ON artifact (debug_id, kind) WHERE debug_id <> '';
CREATE INDEX artifact_name ON artifact (project_id, release, name);
CREATE INDEX artifact_hash ON artifact (hash);

-- Contents by what they are, so the same file of ten releases is kept once.
CREATE TABLE blob (
  hash BLOB PRIMARY KEY,            -- SHA-256 of the content
  size INTEGER NOT NULL,            -- as uploaded, in bytes
  packed INTEGER NOT NULL,          -- as stored, in bytes
  body BLOB NOT NULL                -- zstd
);

-- Parts of bundles that are on their way.
CREATE TABLE chunk (
  sha1 TEXT PRIMARY KEY,
  size INTEGER NOT NULL,
  created_at REAL NOT NULL,
  body BLOB NOT NULL
);

-- Bundles that were taken in, so that the same one is not sent twice.
CREATE TABLE bundle (
  sha1 TEXT NOT NULL,
  project_id INTEGER NOT NULL,
  release TEXT NOT NULL,
  dist TEXT NOT NULL,
  created_at REAL NOT NULL,
  PRIMARY KEY (sha1, project_id, release, dist)
) WITHOUT ROWID;
