-- Every partition with its counts, for those who check the balance.
SELECT topic, partition, first_offset, next_offset, gaps, applied, ignored, duplicate, stale, conflict, orphan, malformed, stopped_because
FROM input_offset ORDER BY topic, partition
