-- How many sagas are due and were not looked at, and the longest overdue of them.
SELECT saga_id::text, business_key, what, count(*) OVER () FROM late_wake_ups ORDER BY wake_at LIMIT $1
