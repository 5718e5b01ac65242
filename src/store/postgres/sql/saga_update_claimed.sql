-- Claims due sagas, and such as wait for a release that came (their wake-ups lie in [$4, $5)), oldest first, so many of either kind: moves
-- their wake-ups ahead by a lease. What another writer claims at the moment is passed over.
WITH due AS (
    SELECT id FROM saga WHERE wake_at <= clock_timestamp() - $1 * interval '1 millisecond'
    ORDER BY wake_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
),
released AS (
    SELECT id FROM saga WHERE wake_at >= $4::timestamptz AND wake_at < $5::timestamptz
    ORDER BY wake_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE saga s SET wake_at = clock_timestamp() + $3 * interval '1 millisecond'
FROM (SELECT id FROM due UNION ALL SELECT id FROM released) AS claimed
WHERE s.id = claimed.id RETURNING s.id, s.wake_at
