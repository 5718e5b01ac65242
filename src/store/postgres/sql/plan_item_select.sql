-- What became of a plan's items, in the order of the sagas: those behind a saga, of this state; all of them, or the first.
SELECT saga_id, business_key, seq, turn, effect, state, message, is_stuck_again FROM plan_outcome
WHERE plan = $1 AND saga_id > $3 AND ($4::text IS NULL OR state = $4) ORDER BY saga_id LIMIT $2
