-- A name for one who works on jobs.
SELECT gen_random_uuid()
