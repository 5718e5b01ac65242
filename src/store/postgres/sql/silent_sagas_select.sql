-- How many open sagas nothing will look at, and the first of them.
SELECT saga_id::text, business_key, what, count(*) OVER () FROM silent_sagas ORDER BY saga_id LIMIT $1
