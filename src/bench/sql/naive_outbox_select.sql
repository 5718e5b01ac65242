-- What is to be sent, in order.
SELECT id, topic, key, value, headers FROM naive_outbox ORDER BY id LIMIT $1
