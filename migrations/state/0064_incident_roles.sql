-- Who does what in an incident beside whom it is assigned to: role to name.
ALTER TABLE incident ADD COLUMN roles_json TEXT NOT NULL DEFAULT '{}';
