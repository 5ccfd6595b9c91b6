-- Alerts: rule states, routed alerts and groups, silences, incidents, notifications and their attempts.
-- Instants are seconds since the epoch; JSON columns end in _json.
CREATE TABLE rule_alert (
  rule TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  body_json TEXT NOT NULL,
  PRIMARY KEY (rule, fingerprint)
) WITHOUT ROWID;

CREATE TABLE alert (
  fingerprint TEXT PRIMARY KEY,
  body_json TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE alert_group (
  key TEXT PRIMARY KEY,
  body_json TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE silence (
  id TEXT PRIMARY KEY,
  body_json TEXT NOT NULL,
  ends_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE incident (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  title TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'acknowledged', 'resolved')),
  severity TEXT NOT NULL,
  labels_json TEXT NOT NULL,
  summary TEXT NOT NULL,
  expr TEXT NOT NULL,
  started_at REAL NOT NULL,
  acknowledged_at REAL,
  acknowledged_by TEXT NOT NULL DEFAULT '',
  assigned_to TEXT NOT NULL DEFAULT '',
  resolved_at REAL,
  policy_json TEXT NOT NULL,
  step INTEGER NOT NULL,
  due_at REAL
);
CREATE UNIQUE INDEX incident_open ON incident (key) WHERE state <> 'resolved';
CREATE INDEX incident_due ON incident (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE incident_event (
  id INTEGER PRIMARY KEY,
  incident INTEGER NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
  at REAL NOT NULL,
  kind TEXT NOT NULL,
  text TEXT NOT NULL,
  actor TEXT NOT NULL DEFAULT ''
);
CREATE INDEX incident_event_incident ON incident_event (incident, at);

CREATE TABLE notification (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  incident INTEGER REFERENCES incident (id) ON DELETE CASCADE,
  target TEXT NOT NULL,
  recipient TEXT NOT NULL,
  message_json TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'sent', 'failed', 'withdrawn', 'gathered')),
  attempts INTEGER NOT NULL DEFAULT 0,
  next_at REAL NOT NULL,
  created_at REAL NOT NULL,
  sent_at REAL,
  answer TEXT NOT NULL DEFAULT ''
);
CREATE INDEX notification_pending ON notification (next_at) WHERE status = 'pending';
CREATE INDEX notification_incident ON notification (incident);

CREATE TABLE notification_attempt (
  id INTEGER PRIMARY KEY,
  notification INTEGER NOT NULL REFERENCES notification (id) ON DELETE CASCADE,
  at REAL NOT NULL,
  took_s REAL NOT NULL,
  ok INTEGER NOT NULL,
  answer TEXT NOT NULL,
  next_at REAL
);
CREATE INDEX notification_attempt_notification ON notification_attempt (notification);

CREATE TABLE deploy (
  id INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  version TEXT NOT NULL,
  service TEXT NOT NULL DEFAULT '',
  actor TEXT NOT NULL DEFAULT '',
  note TEXT NOT NULL DEFAULT ''
);
CREATE INDEX deploy_at ON deploy (at);
