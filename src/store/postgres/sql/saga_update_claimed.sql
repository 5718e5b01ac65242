-- Claims due sagas, oldest first: moves their wake-ups ahead by a lease. What another writer claims at the moment is passed over.
UPDATE saga s SET wake_at = clock_timestamp() + $3 * interval '1 millisecond'
FROM (SELECT id FROM saga WHERE wake_at <= clock_timestamp() - $1 * interval '1 millisecond'
      ORDER BY wake_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED) AS due
WHERE s.id = due.id RETURNING s.id, s.wake_at
