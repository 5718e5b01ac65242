-- Where each partition of a topic stands.
SELECT topic, partition, next_offset, stopped_because IS NOT NULL FROM input_offset WHERE topic = $1
