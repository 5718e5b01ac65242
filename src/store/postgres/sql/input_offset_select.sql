-- Where these partitions stand.
SELECT o.topic, o.partition, o.next_offset, o.stopped_because IS NOT NULL
FROM unnest($1::text[], $2::int[]) AS d(topic, partition) JOIN input_offset o ON o.topic = d.topic AND o.partition = d.partition
