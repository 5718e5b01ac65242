-- The handler's answer, once.
SELECT sagabus_barrier.finish($1, $2, $3, $4, $5, $6)
