-- Open sagas by definition and phase, with the oldest of each.
SELECT DISTINCT ON (definition_name, phase) definition_name, phase, count(*) OVER (PARTITION BY definition_name, phase), started_at, business_key
FROM saga WHERE finished_at IS NULL ORDER BY definition_name, phase, started_at, id
