-- People ask that records enter the line again, all at one moment: what was put aside, as it is or with other content. What is not
-- parked any more is left out, and is missing in the answer.
INSERT INTO redrive (id, message_id, topic, partition, "offset", written_at, is_whole, key, value, headers, verb, who, reason, requested_at)
SELECT d.id, p.id, p.topic, p.partition, p."offset", p.written_at, d.whole, p.key, d.value, d.headers, $6, $7, $8, statement_timestamp()
FROM unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::bytea[], $5::bytea[]) AS d(id, message, whole, value, headers)
JOIN parked_message p ON p.id = d.message AND p.state = 'parked'
RETURNING id
