-- Stops a partition that still stands where it was found wanting: nobody reads it until an operator seeks.
UPDATE input_offset SET stopped_because = $4 WHERE topic = $1 AND partition = $2 AND next_offset = $3
