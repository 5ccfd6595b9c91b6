-- Templates that log messages were sorted into; how often each came is in the day files.
CREATE TABLE log_pattern (
  number INTEGER PRIMARY KEY,
  dataset TEXT NOT NULL,
  level TEXT NOT NULL,
  template TEXT NOT NULL,
  first_seen REAL NOT NULL,
  last_seen REAL NOT NULL,
  watched INTEGER NOT NULL DEFAULT 0
);
