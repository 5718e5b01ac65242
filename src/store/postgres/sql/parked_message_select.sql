-- Records put aside, newest first.
SELECT id, topic, partition, "offset", reason, key, parked_at FROM parked_message ORDER BY id DESC LIMIT $1
