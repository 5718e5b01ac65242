-- Copies of ended sagas, with as many journal rows of a byte each: rows of a past that nobody reads. $2 copies of each, from number $1 on.
WITH ended AS (SELECT * FROM saga WHERE finished_at IS NOT NULL AND business_key NOT LIKE '%~%' ORDER BY id LIMIT 1000),
     copies AS (
         SELECT e.id AS old, (substring(e.id::text FROM 1 FOR 28) || lpad(to_hex(n), 8, '0'))::uuid AS id, n
         FROM ended e CROSS JOIN generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS n
     ),
     sagas AS (
         INSERT INTO saga (id, definition_hash, definition_name, business_key, phase, started_at, finished_at)
         SELECT c.id, e.definition_hash, e.definition_name, e.business_key || '~' || c.n, e.phase, e.started_at, e.finished_at
         FROM copies c JOIN ended e ON e.id = c.old ORDER BY c.id
     )
INSERT INTO journal (saga_id, seq, at, writer, facts)
SELECT c.id, j.seq, j.at, j.writer, '\x00' FROM copies c JOIN journal j ON j.saga_id = c.old ORDER BY c.id, j.seq
