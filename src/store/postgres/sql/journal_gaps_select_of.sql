-- How many journals of these sagas have gaps, and the first of them.
SELECT saga_id::text, business_key, what, count(*) OVER () FROM journal_gaps WHERE saga_id = ANY($2) ORDER BY saga_id LIMIT $1
