-- What is held, in the order in which it was.
SELECT id, definition_name, step, participant, since, who, reason FROM hold WHERE released_at IS NULL ORDER BY id
