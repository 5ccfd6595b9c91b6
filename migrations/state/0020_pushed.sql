-- Groups of metrics that were pushed as to a Pushgateway, kept until they are deleted.
CREATE TABLE pushed_group (
  labels TEXT PRIMARY KEY,
  body BLOB NOT NULL
);
