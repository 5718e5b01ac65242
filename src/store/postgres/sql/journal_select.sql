-- One saga's journal.
SELECT facts FROM journal WHERE saga_id = $1 ORDER BY seq
