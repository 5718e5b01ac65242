-- One process at a time removes what is old: the lock is the session's, which belongs to nobody else and returns to no pool. With the clock.
SELECT pg_try_advisory_lock($1), clock_timestamp()
