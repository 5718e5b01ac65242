-- What to do with a command.
SELECT verdict, outcome, error_code, retryable, effect, reply FROM sagabus_barrier.begin($1, $2, $3, $4, $5, $6, $7)
