-- Messages that wait and fit, in the order of their logs and without what they hold: how often each entered the line again, whether it is
-- asked for and not judged yet, and an earlier one of its key that waits and is not among them.
WITH chosen AS MATERIALIZED (
    SELECT id, topic, partition, "offset", key, reason, is_whole FROM parked_message
    WHERE state = 'parked' AND ($2::text IS NULL OR topic = $2) AND ($3::bytea IS NULL OR key = $3)
      AND ($4::text IS NULL OR starts_with(reason, $4)) AND ($5::text IS NULL OR split_part(reason, ': ', 2) = $5)
      AND ($6::timestamptz IS NULL OR parked_at >= $6) AND ($7::timestamptz IS NULL OR parked_at < $7)
    ORDER BY topic, partition, "offset", id LIMIT $1
),
left_out AS (
    SELECT DISTINCT ON (p.topic, p.partition, p.key) p.topic, p.partition, p.key, p."offset", p.id FROM parked_message p
    WHERE p.state = 'parked' AND p.key IS NOT NULL AND NOT EXISTS (SELECT FROM chosen c WHERE c.id = p.id)
    ORDER BY p.topic, p.partition, p.key, p."offset"
)
SELECT c.id, c.topic, c.partition, c.key, c.reason, c.is_whole, r.times, r.is_asked, e.id
FROM chosen c
CROSS JOIN LATERAL (SELECT count(*) AS times, coalesce(bool_or(verdict IS NULL), false) AS is_asked FROM redrive WHERE message_id = c.id) AS r
LEFT JOIN left_out e ON e.topic = c.topic AND e.partition = c.partition AND e.key = c.key AND e."offset" < c."offset"
ORDER BY c.topic, c.partition, c."offset", c.id
