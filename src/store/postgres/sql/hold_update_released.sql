-- Releases what is held, told to the audit in the same statement. How many holds have this number, and how many were in force.
WITH released AS (
    UPDATE hold SET released_at = clock_timestamp(), released_by = $2 WHERE id = $1 AND released_at IS NULL RETURNING id
),
moved AS (
    UPDATE catalogue SET generation = generation + 1, released_generation = generation + 1 WHERE EXISTS (SELECT FROM released)
),
told AS (
    INSERT INTO audit (who, verb, target, reason, outcome, message) SELECT $2, 'release', $4, $3, 'decided', 'h' || id FROM released
)
SELECT (SELECT count(*) FROM hold WHERE id = $1), (SELECT count(*) FROM released)
