-- Open sagas that are pinned to these definitions.
SELECT count(*) FROM saga WHERE definition_hash = ANY($1::bytea[]) AND finished_at IS NULL
