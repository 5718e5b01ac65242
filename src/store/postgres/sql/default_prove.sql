-- Proves that nothing of it is there.
SELECT prove_default($1)
