-- What to do with a command, and whether it is a do that came after its expiry.
SELECT verdict, outcome, error_code, retryable, effect, reply, coalesce($4 = 'do' AND $8 < clock_timestamp(), false)
FROM sagabus_barrier.begin($1, $2, $3, $4, $5, $6, $7)
