-- The end of the chain.
SELECT place, hash, sealed_at FROM audit_seal ORDER BY place DESC LIMIT 1
