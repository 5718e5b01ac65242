-- One saga's journal.
SELECT seq, at, facts FROM journal WHERE saga_id = $1 ORDER BY seq
