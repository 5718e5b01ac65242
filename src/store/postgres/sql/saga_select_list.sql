-- Sagas for people: newest first, a page before the id given.
SELECT s.id, s.definition_hash, s.definition_name, s.business_key, s.phase, s.started_at, s.finished_at, s.wake_at, s.error, d.version
FROM saga s JOIN definition d ON d.hash = s.definition_hash
WHERE ($1::smallint IS NULL OR s.phase = $1) AND ($2::text IS NULL OR s.definition_name = $2)
  AND ($3::text IS NULL OR starts_with(s.business_key, $3)) AND ($4::text IS NULL OR strpos(s.error, $4) > 0)
  AND ($5::timestamptz IS NULL OR s.started_at >= $5) AND ($6::timestamptz IS NULL OR s.started_at < $6)
  AND ($8::text[] IS NULL OR s.definition_name = ANY($8)) AND s.id < $9 AND s.id >= $10
ORDER BY s.id DESC LIMIT $7
