-- Projects, teams and who has which role in which project. The first project has the number 1; in it an account's
-- own role counts, so that nothing changes for who has one project only. Its data stay where they are.
CREATE TABLE project (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  slug TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  created_at REAL NOT NULL,
  archived_at REAL
);
INSERT INTO project (id, slug, name, created_at) VALUES (1, 'default', 'default', unixepoch());
CREATE TABLE team (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE,
  created_at REAL NOT NULL
);
CREATE TABLE team_member (
  team_id INTEGER NOT NULL REFERENCES team (id) ON DELETE CASCADE,
  user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
  PRIMARY KEY (team_id, user_id)
) WITHOUT ROWID;
CREATE TABLE project_role (
  project_id INTEGER NOT NULL REFERENCES project (id) ON DELETE CASCADE,
  user_id INTEGER REFERENCES user (id) ON DELETE CASCADE,
  team_id INTEGER REFERENCES team (id) ON DELETE CASCADE,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'editor', 'admin')),
  CHECK ((user_id IS NULL) <> (team_id IS NULL)),
  UNIQUE (project_id, user_id),
  UNIQUE (project_id, team_id)
);
-- Whose own role does not count: people who were invited to other projects only. (The column `role` cannot say
-- so: its CHECK cannot be changed without making the table anew, and five others refer to it.)
ALTER TABLE user ADD COLUMN outside INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token ADD COLUMN project_id INTEGER REFERENCES project (id) ON DELETE CASCADE;
UPDATE token SET project_id = 1;
ALTER TABLE audit ADD COLUMN project TEXT NOT NULL DEFAULT '';
CREATE TABLE link (
  hash BLOB PRIMARY KEY,
  name TEXT NOT NULL COLLATE NOCASE,
  role TEXT CHECK (role IN ('none', 'viewer', 'editor', 'admin')),
  made_by TEXT NOT NULL,
  expires_at REAL NOT NULL,
  project_id INTEGER REFERENCES project (id) ON DELETE CASCADE,
  project_role TEXT CHECK (project_role IN ('viewer', 'editor', 'admin'))
) WITHOUT ROWID;
INSERT INTO link (hash, name, role, made_by, expires_at)
  SELECT hash, name, role, made_by, expires_at FROM account_link;
DROP TABLE account_link;
ALTER TABLE link RENAME TO account_link;
