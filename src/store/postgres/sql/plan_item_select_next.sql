-- The items of a job that come next.
SELECT saga_id, seq, operation_id FROM plan_item WHERE plan = $1 AND turn > $2 ORDER BY turn LIMIT $3
