-- A token, told to the audit in the same statement; nothing where there is one of this name already.
WITH made AS (
    INSERT INTO token (hash, name, role, definitions, expires_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (name) DO NOTHING RETURNING name, role, definitions, expires_at
),
told AS (
    INSERT INTO audit (who, verb, target, reason, outcome, message)
    SELECT $6, 'create token', 'token:' || name, $7, 'decided',
           format('role %s, for %s, %s', role, coalesce(array_to_string(definitions, ', '), 'all definitions'),
                  coalesce('until ' || expires_at, 'without end'))
    FROM made
)
SELECT count(*) FROM made
