-- Sagas by id or by business key.
SELECT s.id, s.definition_hash, s.definition_name, s.business_key, s.phase, s.started_at, s.finished_at, s.wake_at, s.error, d.version
FROM saga s JOIN definition d ON d.hash = s.definition_hash
WHERE (s.id = $1 OR s.business_key = $2) AND ($3::text IS NULL OR s.definition_name = $3)
ORDER BY s.id DESC LIMIT 100
