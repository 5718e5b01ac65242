-- Engines that have been heard of lately, those that have not and that nobody has taken over, and the clock.
SELECT count(*) FILTER (WHERE heartbeat_at >= statement_timestamp() - $1 * interval '1 millisecond'),
       count(*) FILTER (WHERE heartbeat_at < statement_timestamp() - $1 * interval '1 millisecond'), statement_timestamp()
FROM writer WHERE NOT taken_over
