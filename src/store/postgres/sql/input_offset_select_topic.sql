-- How far each partition of a topic has been read.
SELECT partition, next_offset FROM input_offset WHERE topic = $1
