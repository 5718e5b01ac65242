-- Takeover, first statement: waits for the dead one's statement in flight, and fences it. Its heartbeat is left alone.
UPDATE writer SET incarnation = gen_random_uuid(), taken_over = true WHERE id = $1 AND incarnation = $2
