-- The next process may remove what is old at once.
SELECT pg_advisory_unlock($1)
