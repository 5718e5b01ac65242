-- The first journal rows that hold some bytes, of the newest sagas.
SELECT s.id, j.facts
FROM (SELECT id FROM saga ORDER BY id DESC LIMIT $1) AS s
JOIN journal j ON j.saga_id = s.id AND j.seq = 1 AND position($2::bytea IN j.facts) > 0
ORDER BY s.id DESC
