-- Where a saga stands now.
UPDATE naive_saga SET step = $2, is_undoing = $3, is_ended = $4, updated_at = now() WHERE id = $1
