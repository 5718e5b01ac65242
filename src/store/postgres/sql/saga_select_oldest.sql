-- When the oldest saga began that is kept.
SELECT started_at FROM saga ORDER BY id LIMIT 1
