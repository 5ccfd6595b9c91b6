-- Rules that people write about a project's grouping and owners.
CREATE TABLE error_rules (
  project_id INTEGER NOT NULL REFERENCES error_project(id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('fingerprint', 'stack', 'owners')),
  text TEXT NOT NULL,
  PRIMARY KEY (project_id, kind)
) WITHOUT ROWID;

-- A merged issue keeps its number in the events' files; its page and counts are those of another one,
-- so a merge can be taken back.
ALTER TABLE error_issue ADD COLUMN merged_into INTEGER NOT NULL DEFAULT 0;
CREATE INDEX error_issue_merged ON error_issue (merged_into) WHERE merged_into <> 0;

-- What each issue of a merged family counted itself, the root among them; error_issue has the sum.
CREATE TABLE error_part (
  issue_id INTEGER PRIMARY KEY REFERENCES error_issue(id) ON DELETE CASCADE,
  root_id INTEGER NOT NULL,
  count INTEGER NOT NULL,
  first_seen REAL NOT NULL,
  last_seen REAL NOT NULL,
  first_release TEXT NOT NULL,
  last_release TEXT NOT NULL,
  unhandled INTEGER NOT NULL
);
CREATE INDEX error_part_root ON error_part (root_id);

-- 1: only an event of a release that came after `resolved_at` brings the issue back.
ALTER TABLE error_issue ADD COLUMN resolved_next INTEGER NOT NULL DEFAULT 0;
ALTER TABLE error_issue ADD COLUMN ignored_until_users INTEGER NOT NULL DEFAULT 0;

-- When a release was first heard of.
CREATE TABLE error_release (
  project_id INTEGER NOT NULL REFERENCES error_project(id) ON DELETE CASCADE,
  release TEXT NOT NULL,
  heard_at REAL NOT NULL,
  PRIMARY KEY (project_id, release)
) WITHOUT ROWID;

-- Issues of the same place or with the same beginning of a title are shown beside each other.
CREATE INDEX error_issue_culprit ON error_issue (project_id, culprit);
CREATE INDEX error_issue_title ON error_issue (project_id, title);
CREATE INDEX error_issue_assignee ON error_issue (assignee) WHERE assignee <> '';
