-- What the default partition keeps of traces whose sagas were removed.
DELETE FROM saga_trace_default WHERE (trace_id, saga_id) IN (
    SELECT t.trace_id, t.saga_id FROM saga_trace_default t
    WHERE t.saga_id < saga_id_at($1) AND NOT EXISTS (SELECT FROM saga s WHERE s.id = t.saga_id) LIMIT $2)
