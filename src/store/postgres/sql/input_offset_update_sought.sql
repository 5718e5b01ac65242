-- Moves a partition to another offset at an operator's word. What is jumped over counts as gaps; going back begins a new count.
WITH sought AS (
    UPDATE input_offset SET
        first_offset = CASE WHEN $3 >= next_offset THEN first_offset ELSE $3 END,
        gaps = CASE WHEN $3 >= next_offset THEN gaps + $3 - next_offset ELSE 0 END,
        applied = CASE WHEN $3 >= next_offset THEN applied ELSE 0 END,
        ignored = CASE WHEN $3 >= next_offset THEN ignored ELSE 0 END,
        duplicate = CASE WHEN $3 >= next_offset THEN duplicate ELSE 0 END,
        stale = CASE WHEN $3 >= next_offset THEN stale ELSE 0 END,
        conflict = CASE WHEN $3 >= next_offset THEN conflict ELSE 0 END,
        orphan = CASE WHEN $3 >= next_offset THEN orphan ELSE 0 END,
        malformed = CASE WHEN $3 >= next_offset THEN malformed ELSE 0 END,
        next_offset = $3, stopped_because = NULL
    WHERE topic = $1 AND partition = $2 RETURNING 1
),
told AS (
    INSERT INTO audit (who, verb, target, reason, outcome, message)
    SELECT $4, 'seek', $1 || '/' || $2, $5, 'decided', 'to offset ' || $3 FROM sought
)
SELECT count(*) FROM sought
