-- Records put aside, newest first, below a number: in this state, of this topic, with this key, whose reason begins so or has this code, put
-- aside within this time.
SELECT id, topic, partition, "offset", reason, key, parked_at, state FROM parked_message
WHERE ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR topic = $3) AND ($4::bytea IS NULL OR key = $4)
  AND ($5::text IS NULL OR starts_with(reason, $5)) AND id < $6
  AND ($7::text IS NULL OR split_part(reason, ': ', 2) = $7)
  AND ($8::timestamptz IS NULL OR parked_at >= $8) AND ($9::timestamptz IS NULL OR parked_at < $9)
ORDER BY id DESC LIMIT $1
