-- Holds something, told to the audit in the same statement; nothing where it is held already.
WITH made AS (
    INSERT INTO hold (definition_name, step, participant, who, reason) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT DO NOTHING RETURNING id
),
moved AS (UPDATE catalogue SET generation = generation + 1 WHERE EXISTS (SELECT FROM made)),
told AS (
    INSERT INTO audit (who, verb, target, reason, outcome, message) SELECT $4, 'hold', $6, $5, 'decided', 'h' || id FROM made
)
SELECT id FROM made
