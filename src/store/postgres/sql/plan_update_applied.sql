-- Makes a job of a plan, audited, also when it is refused: it has to be valid, and above the minimum somebody else's.
WITH applied AS (
    UPDATE plan SET state = 'applying', applied_by = $2, reason = $3, applied_at = clock_timestamp(), next_at = clock_timestamp(),
        rate = $4, ramp = $5, items_max = $6, stop_percent = $7
    WHERE number = $1 AND state = 'planned' AND valid_until >= clock_timestamp() AND eligible > 0
      AND (eligible <= (SELECT minimum_sagas FROM approval) OR planned_by <> $2)
    RETURNING 1
),
told AS (
    INSERT INTO audit (who, verb, target, reason, outcome, message)
    SELECT $2, 'apply', 'p' || p.number, $3, CASE WHEN EXISTS (SELECT FROM applied) THEN 'decided' ELSE 'refused' END,
           format('%s of %s sagas, planned by %s', p.verb, p.eligible, p.planned_by)
    FROM plan p WHERE p.number = $1
)
SELECT count(*) FROM applied
