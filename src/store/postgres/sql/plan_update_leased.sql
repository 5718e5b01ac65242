-- Takes up the jobs that nobody works on, goes on with the worker's own, and says how far each is.
WITH free AS (
    SELECT number FROM plan
    WHERE state = 'applying' AND (worker = $1 OR leased_until IS NULL OR leased_until < clock_timestamp())
    ORDER BY number FOR UPDATE SKIP LOCKED
),
mine AS (
    UPDATE plan p SET worker = $1, leased_until = clock_timestamp() + make_interval(secs => $2::bigint / 1000.0)
    FROM free WHERE p.number = free.number RETURNING p.*
)
SELECT m.number, m.request, m.applied_by, m.reason, m.eligible, m.rate, m.ramp, m.items_max, m.stop_percent, m.released, m.next_at,
       m.forgiven_decided, m.forgiven_errors, c.*, clock_timestamp() AS now
FROM mine m CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE o.state = 'applied') AS applied, count(*) FILTER (WHERE o.state = 'refused') AS refused,
           count(*) FILTER (WHERE o.state = 'failed') AS failed, count(*) FILTER (WHERE o.is_stuck_again) AS stuck_again
    FROM plan_outcome o WHERE o.plan = m.number
) AS c
ORDER BY m.number
