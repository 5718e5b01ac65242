-- Engines that nobody has taken over, and jobs that a worker has leased.
SELECT true AS is_engine, id AS number, coalesce(instance, '') AS holder, registered_at AS since, heartbeat_at AS moment
FROM writer WHERE NOT taken_over
UNION ALL
SELECT false, number, worker::text, applied_at, leased_until FROM plan WHERE state = 'applying' AND leased_until >= clock_timestamp()
ORDER BY is_engine DESC, number
