-- Sagas by id, newest first, a page before the one given: how everything is gone through while more are begun.
SELECT id FROM saga WHERE id < $1 ORDER BY id DESC LIMIT $2
