-- Sagas by ids or by business keys: a key is looked up for each name that definitions have, since the index begins with it.
WITH wanted AS (
    SELECT id FROM saga WHERE id = ANY($1)
    UNION
    SELECT s.id FROM (SELECT DISTINCT name FROM definition) AS d CROSS JOIN unnest($2::text[]) AS k(key)
    JOIN saga s ON s.definition_name = d.name AND s.business_key = k.key
)
SELECT s.id, s.definition_hash, s.definition_name, s.business_key, s.phase, s.started_at, s.finished_at, s.wake_at, s.error, d.version
FROM wanted w JOIN saga s ON s.id = w.id JOIN definition d ON d.hash = s.definition_hash
WHERE $3::text IS NULL OR s.definition_name = $3
ORDER BY s.id DESC
