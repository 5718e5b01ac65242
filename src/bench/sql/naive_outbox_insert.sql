-- What is to be sent once this is committed.
INSERT INTO naive_outbox (topic, key, value, headers) VALUES ($1, $2, $3, $4)
