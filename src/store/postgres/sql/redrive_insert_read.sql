-- A person asks that records of a log, which were not put aside, enter the line, all at one moment.
INSERT INTO redrive (id, topic, partition, "offset", written_at, is_whole, key, value, headers, verb, who, reason, requested_at)
SELECT d.id, d.topic, d.part, d.off, d.written, d.whole, d.key, d.val, d.headers, 'redrive', $10, $11, statement_timestamp()
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::timestamptz[], $6::boolean[], $7::bytea[], $8::bytea[], $9::bytea[])
    AS d(id, topic, part, off, written, whole, key, val, headers)
ON CONFLICT (id) DO NOTHING
