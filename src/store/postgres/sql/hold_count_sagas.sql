-- Open sagas of the definitions with these names.
SELECT count(*) FROM saga WHERE definition_name = ANY($1::text[]) AND finished_at IS NULL
