-- The first journal rows that hold some bytes, of the sagas next older than an id, newest first.
SELECT s.id, j.facts
FROM (SELECT id FROM saga WHERE id < $1 ORDER BY id DESC LIMIT $2) AS s
JOIN journal j ON j.saga_id = s.id AND j.seq = 1 AND position($3::bytea IN j.facts) > 0
ORDER BY s.id DESC
