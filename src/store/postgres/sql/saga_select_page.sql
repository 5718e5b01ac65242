-- Sagas by id, a page behind the one given: how everything is gone through.
SELECT id FROM saga WHERE id > $1 ORDER BY id LIMIT $2
