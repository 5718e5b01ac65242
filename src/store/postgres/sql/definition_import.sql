-- Definitions from a file. None of them starts sagas.
INSERT INTO definition (hash, name, version, body)
SELECT * FROM unnest($1::bytea[], $2::text[], $3::int[], $4::text[]) ON CONFLICT (hash) DO NOTHING
