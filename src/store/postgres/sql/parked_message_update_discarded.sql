-- A person says that messages need not be looked at any more. They are kept.
WITH discarded AS (
    UPDATE parked_message SET state = 'discarded' WHERE id = ANY($1) AND state = 'parked' RETURNING id
),
told AS (
    INSERT INTO audit (who, verb, target, reason, outcome, message)
    SELECT $2, 'discard', 'parked message ' || id, $3, 'decided', NULL FROM discarded
)
SELECT id FROM discarded
