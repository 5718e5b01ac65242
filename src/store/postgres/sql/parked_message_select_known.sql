-- Those of these messages that were put aside.
SELECT id FROM parked_message WHERE id = ANY($1)
