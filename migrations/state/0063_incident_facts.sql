-- What an entry of a timeline says, as facts, so that each reader gets it in their own language;
-- `text` stays what programs read, and all that older entries have.
ALTER TABLE incident_event ADD COLUMN facts_json TEXT NOT NULL DEFAULT '{}';
