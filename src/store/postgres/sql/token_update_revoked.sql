-- Revokes a token, told to the audit in the same statement. How many have the name, and how many were not revoked before.
WITH revoked AS (
    UPDATE token SET revoked_at = clock_timestamp() WHERE name = $1 AND revoked_at IS NULL RETURNING name
),
told AS (
    INSERT INTO audit (who, verb, target, reason, outcome)
    SELECT $2, 'revoke token', 'token:' || name, $3, 'decided' FROM revoked
)
SELECT (SELECT count(*) FROM token WHERE name = $1), (SELECT count(*) FROM revoked)
