-- Stops a partition: nobody reads it until an operator seeks.
UPDATE input_offset SET stopped_because = $3 WHERE topic = $1 AND partition = $2
