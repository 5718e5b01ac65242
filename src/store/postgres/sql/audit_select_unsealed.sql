-- Entries without a place in the chain that no open transaction can add to from below: older than every transaction that is open.
-- From a little in front of the newest sealed one on; one that hides further down is found by the chain's check.
SELECT a.id, a.at, a.who, a.verb, a.target, a.reason, a.outcome, a.message, a.seq_before, a.seq_after
FROM audit a
WHERE a.id > (SELECT coalesce(max(audit_id), 0) FROM audit_seal) - 100000
  AND NOT EXISTS (SELECT FROM audit_seal s WHERE s.audit_id = a.id)
  AND age(a.xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid)
ORDER BY a.id LIMIT $1
