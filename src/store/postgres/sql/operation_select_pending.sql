-- Operators' actions that nobody has decided, oldest first.
SELECT saga_id, request FROM operation WHERE state = 'pending' ORDER BY requested_at LIMIT $1
