-- Who met which issue, by keyed hashes of ids, e-mail addresses and names: to be searched for, not to be read.
CREATE TABLE person (
  alias BLOB NOT NULL,
  issue_id INTEGER NOT NULL,
  PRIMARY KEY (alias, issue_id)
) WITHOUT ROWID;
