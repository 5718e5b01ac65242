-- Sagas that have not ended.
SELECT count(*) FROM saga WHERE finished_at IS NULL
