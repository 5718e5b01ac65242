-- Sagas drawn by lot, all alike likely.
SELECT id FROM saga ORDER BY hashtextextended(id::text, $1) LIMIT $2
