-- Holds something, told to the audit in the same statement; nothing where it is held already, or an engine may run that does not know of holds.
WITH made AS (
    INSERT INTO hold (definition_name, step, participant, who, reason)
    SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM writer WHERE NOT heeds_holds AND NOT taken_over)
    ON CONFLICT DO NOTHING RETURNING id
),
moved AS (UPDATE catalogue SET generation = generation + 1 WHERE EXISTS (SELECT FROM made)),
told AS (
    INSERT INTO audit (who, verb, target, reason, outcome, message) SELECT $4, 'hold', $6, $5, 'decided', 'h' || id FROM made
)
SELECT (SELECT id FROM made), EXISTS (SELECT FROM writer WHERE NOT heeds_holds AND NOT taken_over)
