-- A second factor, links that set a password, single sign-on, and when a token was used.
-- The TOTP secret itself is not here: it is made of `totp_seed` and the key in `accounts.key`, which no backup holds.
ALTER TABLE user ADD COLUMN totp_seed BLOB;
ALTER TABLE user ADD COLUMN totp_step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user ADD COLUMN subject TEXT;
CREATE UNIQUE INDEX user_subject ON user (subject) WHERE subject IS NOT NULL;
ALTER TABLE token ADD COLUMN used_at REAL;
ALTER TABLE session ADD COLUMN device TEXT NOT NULL DEFAULT '';
CREATE TABLE recovery_code (
  user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
  hash BLOB NOT NULL,
  PRIMARY KEY (user_id, hash)
) WITHOUT ROWID;
CREATE TABLE account_link (
  hash BLOB PRIMARY KEY,
  name TEXT NOT NULL COLLATE NOCASE,
  role TEXT CHECK (role IN ('viewer', 'editor', 'admin')),
  made_by TEXT NOT NULL,
  expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit BEGIN
  SELECT raise(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit BEGIN
  SELECT raise(ABORT, 'the audit log is append-only');
END;
