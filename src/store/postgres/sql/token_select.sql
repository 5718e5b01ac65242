-- Whose token has this hash.
SELECT name, role, definitions, created_at, expires_at, revoked_at,
       CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= clock_timestamp() THEN 'expired' ELSE 'valid' END
FROM token WHERE hash = $1
