-- Counts a do or an undo.
INSERT INTO effect AS e (saga_id, step, done, undone) VALUES ($1, $2, $3, $4)
ON CONFLICT (saga_id, step) DO UPDATE SET done = e.done + excluded.done, undone = e.undone + excluded.undone
