-- Where a saga stands, locked.
SELECT business_key, step, is_undoing, is_ended, data FROM naive_saga WHERE id = $1 FOR UPDATE
