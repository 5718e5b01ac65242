-- Audit entries, newest first, a page before the number given, each with its place in the chain.
SELECT a.id, a.at, a.who, a.verb, a.target, a.reason, a.outcome, a.message, a.seq_before, a.seq_after, s.place, s.hash, s.sealed_at
FROM audit a LEFT JOIN audit_seal s ON s.audit_id = a.id
WHERE a.id < $1 ORDER BY a.id DESC LIMIT $2
