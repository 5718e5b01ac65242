-- What the broker has acknowledged.
DELETE FROM naive_outbox WHERE id = ANY($1)
