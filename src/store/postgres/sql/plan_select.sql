-- Plans, newest first, below a number: one of them, or those that were applied, or all; of sagas of these definitions alone.
SELECT p.number, p.hash, p.verb, p.request, p.selected, p.eligible, p.ineligible, p.planned_by, p.planned_at, p.valid_until,
       CASE WHEN p.state = 'planned' AND p.valid_until < clock_timestamp() THEN 'expired' ELSE p.state END AS state,
       p.applied_by, p.reason, p.applied_at, p.rate, coalesce(p.ramp, false) AS ramp, p.items_max, p.stop_percent, p.released, p.message,
       p.ended_at, p.eligible > a.minimum_sagas AS needs_second, p.definitions, c.*
FROM (SELECT * FROM plan WHERE ($1::bigint IS NULL OR number = $1) AND (applied_at IS NOT NULL OR NOT $2) AND number < $4
        AND ($5::text[] IS NULL OR definitions <@ $5 AND cardinality(definitions) > 0)
      ORDER BY number DESC LIMIT $3) AS p
CROSS JOIN approval a
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE o.state = 'pending') AS pending, count(*) FILTER (WHERE o.state = 'applied') AS applied,
           count(*) FILTER (WHERE o.state = 'refused') AS refused, count(*) FILTER (WHERE o.state = 'failed') AS failed,
           count(*) FILTER (WHERE o.state = 'skipped') AS skipped, count(*) FILTER (WHERE o.is_stuck_again) AS stuck_again
    FROM plan_outcome o WHERE o.plan = p.number AND p.applied_at IS NOT NULL
) AS c
ORDER BY p.number DESC
