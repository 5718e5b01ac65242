-- A plan with all of its items.
WITH planned AS (
    INSERT INTO plan (number, hash, verb, request, selected, eligible, ineligible, planned_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING number
)
INSERT INTO plan_item (plan, saga_id, seq, turn, operation_id, effect, leaves_stuck, refusal)
SELECT planned.number, d.saga_id, d.seq, d.turn, d.operation_id, d.effect, d.leaves_stuck, d.refusal
FROM planned CROSS JOIN unnest($9::uuid[], $10::int[], $11::int[], $12::uuid[], $13::text[], $14::bool[], $15::text[])
    AS d(saga_id, seq, turn, operation_id, effect, leaves_stuck, refusal)
