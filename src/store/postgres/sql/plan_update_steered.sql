-- Moves a plan or job from one state to another at a person's word, audited. What a person has seen who lets it go on stops it no more.
WITH seen AS (
    SELECT count(*) FILTER (WHERE state IN ('applied', 'refused', 'failed')) AS decided,
           count(*) FILTER (WHERE state IN ('refused', 'failed') OR is_stuck_again) AS errors
    FROM plan_outcome WHERE plan = $1
),
steered AS (
    UPDATE plan p SET state = $3, message = CASE WHEN $3 = 'applying' THEN NULL ELSE $4 || ' by ' || $5 || ': ' || $6 END,
        ended_at = CASE WHEN $3 = 'cancelled' THEN clock_timestamp() END, next_at = clock_timestamp(),
        forgiven_decided = CASE WHEN $3 = 'applying' THEN seen.decided ELSE p.forgiven_decided END,
        forgiven_errors = CASE WHEN $3 = 'applying' THEN seen.errors ELSE p.forgiven_errors END
    FROM seen
    WHERE p.number = $1 AND p.state = $2 RETURNING p.number
),
told AS (
    INSERT INTO audit (who, verb, target, reason, outcome, message)
    SELECT $5, 'jobs ' || $4, 'p' || number, $6, 'decided', $2 || ' -> ' || $3 FROM steered
)
SELECT count(*) FROM steered
