-- The whole ledger.
SELECT saga_id, step, done, undone FROM effect
