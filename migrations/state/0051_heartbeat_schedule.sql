-- A heartbeat may follow a cron expression in a time zone instead of a period.
ALTER TABLE heartbeat ADD COLUMN schedule TEXT NOT NULL DEFAULT '';
ALTER TABLE heartbeat ADD COLUMN zone TEXT NOT NULL DEFAULT 'UTC';
