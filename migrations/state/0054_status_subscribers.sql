-- People who want mail when something on the status page goes down or comes back.
CREATE TABLE status_subscriber (
  id INTEGER PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  token TEXT NOT NULL UNIQUE,
  locale TEXT NOT NULL,
  made_at REAL NOT NULL,
  asked_at REAL NOT NULL,
  confirmed_at REAL
);
-- Mail that waits to be sent; a subscriber who leaves takes his mail along.
CREATE TABLE status_mail (
  id INTEGER PRIMARY KEY,
  subscriber INTEGER NOT NULL REFERENCES status_subscriber (id) ON DELETE CASCADE,
  subject TEXT NOT NULL,
  body TEXT NOT NULL,
  made_at REAL NOT NULL,
  due_at REAL NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX status_mail_due ON status_mail (due_at);
-- How far the changes of checks were told.
CREATE TABLE status_told (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  change INTEGER NOT NULL,
  mailed_at REAL NOT NULL
);
