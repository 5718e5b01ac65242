-- Rows that transactions wrote from one horizon ($1) to the next ($2), in the order of their time: a page of a stretch of it.
SELECT j.at, j.saga_id, j.seq, s.phase, s.definition_name
FROM journal j JOIN saga s ON s.id = j.saga_id
WHERE j.at >= $3 AND j.at < $4 AND (j.at, j.saga_id, j.seq) > ($3, $5::uuid, $6::int)
  AND age(j.xmin) <= age($1::text::xid8::xid) AND age(j.xmin) > age($2::text::xid8::xid)
ORDER BY j.at, j.saga_id, j.seq LIMIT $7
