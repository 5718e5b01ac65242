-- How many sagas began and ended within the last seconds, by definition and the phase they are in: by the time of the journal's rows, which
-- an index finds.
SELECT s.definition_name, s.phase, count(*) FILTER (WHERE m.began),
       count(*) FILTER (WHERE s.finished_at >= statement_timestamp() - $1 * interval '1 second')
FROM (SELECT saga_id, bool_or(seq = 1) AS began FROM journal
      WHERE at >= statement_timestamp() - $1 * interval '1 second' GROUP BY saga_id) AS m
JOIN saga s ON s.id = m.saga_id
GROUP BY s.definition_name, s.phase ORDER BY s.definition_name, s.phase
