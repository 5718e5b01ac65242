-- Sagas with their whole journals, row and journal as of one moment.
SELECT s.id, s.definition_hash, s.definition_name, s.business_key, s.phase, s.started_at, s.finished_at, s.wake_at, s.error,
       j.seqs, j.facts, clock_timestamp()
FROM saga s CROSS JOIN LATERAL
     (SELECT array_agg(seq ORDER BY seq) AS seqs, array_agg(facts ORDER BY seq) AS facts FROM journal WHERE saga_id = s.id) AS j
WHERE s.id = ANY($1) ORDER BY s.id DESC
