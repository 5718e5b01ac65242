-- A new saga, unless its trigger was read before.
INSERT INTO naive_saga (id, business_key, step, data) VALUES ($1, $2, 0, $3) ON CONFLICT DO NOTHING
