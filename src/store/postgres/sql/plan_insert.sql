-- A plan with all of its items, and the definitions of their sagas.
WITH planned AS (
    INSERT INTO plan (number, hash, verb, request, selected, eligible, ineligible, planned_by, definitions)
    SELECT $1::bigint, $2::bytea, $3::text, $4::text, $5::text, $6::int, $7::int, $8::text,
           coalesce(array_agg(DISTINCT s.definition_name ORDER BY s.definition_name), '{}')
    FROM saga s WHERE s.id = ANY($9::uuid[]) RETURNING number
)
INSERT INTO plan_item (plan, saga_id, seq, turn, operation_id, effect, leaves_stuck, refusal)
SELECT planned.number, d.saga_id, d.seq, d.turn, d.operation_id, d.effect, d.leaves_stuck, d.refusal
FROM planned CROSS JOIN unnest($9::uuid[], $10::int[], $11::int[], $12::uuid[], $13::text[], $14::bool[], $15::text[])
    AS d(saga_id, seq, turn, operation_id, effect, leaves_stuck, refusal)
