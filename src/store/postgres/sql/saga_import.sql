-- Sagas from a file, with their journals as they were: writer 0 is nobody. What waited for a release elsewhere (from $16 on) is looked at
-- at once: nothing is held here.
WITH sagas AS (
    INSERT INTO saga (id, definition_hash, definition_name, business_key, phase, started_at, finished_at, wake_at, error)
    SELECT id, hash, name, bk, phase, started, fin, CASE WHEN wake < $16::timestamptz THEN wake ELSE least(wake, clock_timestamp()) END, err
    FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::text[], $5::smallint[], $6::timestamptz[], $7::timestamptz[],
                $8::timestamptz[], $9::text[]) AS s(id, hash, name, bk, phase, started, fin, wake, err)
),
traces AS (
    INSERT INTO saga_trace (trace_id, saga_id) SELECT * FROM unnest($14::uuid[], $15::uuid[])
)
INSERT INTO journal (saga_id, seq, at, writer, facts)
SELECT id, seq, at, 0, facts FROM unnest($10::uuid[], $11::int[], $12::timestamptz[], $13::bytea[]) AS j(id, seq, at, facts)
