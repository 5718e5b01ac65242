-- Sagas of a trace, newest first.
SELECT saga_id FROM saga_trace WHERE trace_id = $1 ORDER BY saga_id DESC LIMIT 100
