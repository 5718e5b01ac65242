-- An operator asks.
INSERT INTO operation (id, saga_id, request, verb, who, reason) VALUES ($1, $2, $3, $4, $5, $6)
