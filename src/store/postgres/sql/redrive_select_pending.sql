-- Records that are to enter the line again, in the order of their logs where they were asked for together.
SELECT id, topic, partition, "offset", written_at, is_whole, key, value, headers FROM redrive
WHERE verdict IS NULL ORDER BY requested_at, topic, partition, "offset" LIMIT $1
