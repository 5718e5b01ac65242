-- Records put aside that were read at one place, newest first.
SELECT id, topic, partition, "offset", reason, key, parked_at, state FROM parked_message
WHERE topic = $1 AND partition = $2 AND "offset" = $3 ORDER BY id DESC
