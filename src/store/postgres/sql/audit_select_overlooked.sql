-- How many entries have no place in the chain, and the first of those that say to be a minute older than what has one.
SELECT a.id, a.at, a.who, a.verb, a.target, a.reason, a.outcome, a.message, a.seq_before, a.seq_after, count(*) OVER () AS unsealed,
       a.at < $1::timestamptz - interval '1 minute' AS is_older
FROM audit a WHERE NOT EXISTS (SELECT FROM audit_seal s WHERE s.audit_id = a.id)
ORDER BY is_older DESC, a.id LIMIT $2
