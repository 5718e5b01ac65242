-- Sagas with their whole journals, by id and by business key. $4 and $5 are the first and the last id that it can be: without them Postgres
-- makes ready to look into the table of every period.
WITH wanted AS (
    SELECT unnest($1::uuid[]) AS id
    UNION
    SELECT s.id FROM unnest($2::text[], $3::text[]) AS d(name, bk) JOIN saga s ON s.definition_name = d.name AND s.business_key = d.bk
)
SELECT s.id, s.definition_hash, s.definition_name, s.business_key, s.phase, s.started_at, s.finished_at, s.wake_at, s.error,
       (SELECT array_agg(j.facts ORDER BY j.seq) FROM journal j WHERE j.saga_id = s.id AND j.saga_id BETWEEN $4 AND $5)
FROM wanted w JOIN saga s ON s.id = w.id
