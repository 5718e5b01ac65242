-- The saga that lies so many behind an id, going to older ones: none where fewer are left.
SELECT id FROM saga WHERE id < $1 ORDER BY id DESC OFFSET $2 LIMIT 1
