-- A page of a plan's items as its hash covers them.
SELECT saga_id, seq, effect, refusal FROM plan_item WHERE plan = $1 AND saga_id > $2 ORDER BY saga_id LIMIT $3
