-- A writer that ends well leaves nothing behind, unless it has something to send.
DELETE FROM writer WHERE id = $1 AND incarnation = $2 AND NOT EXISTS (SELECT 1 FROM unemitted WHERE owner = $1)
