-- The chain behind a place, with the entries that it was made of, as far as they are there.
SELECT s.place, s.audit_id, s.hash, s.sealed_at,
       a.at, a.who, a.verb, a.target, a.reason, a.outcome, a.message, a.seq_before, a.seq_after
FROM audit_seal s LEFT JOIN audit a ON a.id = s.audit_id
WHERE s.place > $1 ORDER BY s.place LIMIT $2
