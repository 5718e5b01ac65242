-- Sagas from a file, with their journals as they were: writer 0 is nobody.
WITH sagas AS (
    INSERT INTO saga (id, definition_hash, definition_name, business_key, phase, started_at, finished_at, wake_at, error)
    SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::text[], $5::smallint[], $6::timestamptz[], $7::timestamptz[],
                         $8::timestamptz[], $9::text[])
),
traces AS (
    INSERT INTO saga_trace (trace_id, saga_id) SELECT * FROM unnest($14::uuid[], $15::uuid[])
)
INSERT INTO journal (saga_id, seq, at, writer, facts)
SELECT id, seq, at, 0, facts FROM unnest($10::uuid[], $11::int[], $12::timestamptz[], $13::bytea[]) AS j(id, seq, at, facts)
