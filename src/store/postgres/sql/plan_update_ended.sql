-- Ends a job, or lets it wait for a person, if it is still this worker's.
UPDATE plan SET state = $3, message = $4, ended_at = CASE WHEN $3 = 'paused' THEN NULL ELSE clock_timestamp() END
WHERE number = $1 AND worker = $2 AND state = 'applying'
