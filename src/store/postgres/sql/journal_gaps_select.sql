-- How many journals have gaps, and the first of them.
SELECT saga_id::text, business_key, what, count(*) OVER () FROM journal_gaps ORDER BY saga_id LIMIT $1
