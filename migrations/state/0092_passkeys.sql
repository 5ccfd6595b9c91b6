-- Public keys of people's authenticators (WebAuthn); there is nothing secret in them.
CREATE TABLE passkey (
  id BLOB PRIMARY KEY,
  user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
  public_key BLOB NOT NULL,
  sign_count INTEGER NOT NULL,
  name TEXT NOT NULL,
  created_at REAL NOT NULL,
  used_at REAL
) WITHOUT ROWID;
CREATE INDEX passkey_user ON passkey (user_id);
