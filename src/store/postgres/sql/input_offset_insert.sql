-- Makes partitions known where they begin. One that a peer has made known meanwhile keeps the peer's offset.
INSERT INTO input_offset (topic, partition, first_offset, next_offset)
SELECT d.topic, d.partition, d.first, d.first FROM unnest($1::text[], $2::int[], $3::bigint[]) AS d(topic, partition, first)
ORDER BY d.topic, d.partition
ON CONFLICT (topic, partition) DO NOTHING
