-- Sagas by definition and phase.
SELECT s.definition_name, s.phase, count(*) FROM saga s
WHERE ($1::smallint IS NULL OR s.phase = $1) AND ($2::text IS NULL OR s.definition_name = $2)
  AND ($3::text IS NULL OR starts_with(s.business_key, $3)) AND ($4::text IS NULL OR strpos(s.error, $4) > 0)
  AND ($5::timestamptz IS NULL OR s.started_at >= $5) AND ($6::timestamptz IS NULL OR s.started_at < $6)
  AND ($7::text[] IS NULL OR s.definition_name = ANY($7))
GROUP BY s.definition_name, s.phase ORDER BY s.definition_name, s.phase
