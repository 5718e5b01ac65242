-- What the online checks read: views named for what is wrong, empty when all is well (ARCHITECTURE.md section 6). Each is one
-- statement, so one snapshot: an engine that is at work beside it is never seen half-way. What an engine is given time for (a
-- claim, a takeover, a rebalance: 12 s at most) counts after a minute. What only a fold can tell is src/replay/check.rs.

-- Since when a partition is known: those between it and its neighbours have to follow.
ALTER TABLE input_offset ADD COLUMN known_since timestamptz NOT NULL DEFAULT clock_timestamp();

-- Open sagas that nothing will look at, and that no person was told of.
CREATE VIEW silent_sagas AS
SELECT id AS saga_id, business_key,
       format('%s, without a wake-up, neither stuck nor paused', CASE phase WHEN 0 THEN 'running' ELSE 'compensating' END) AS what
FROM saga WHERE finished_at IS NULL AND phase IN (0, 1) AND wake_at IS NULL;

-- Journals that do not number their rows 1, 2, 3 ..., sagas without any, and rows of no saga.
CREATE VIEW journal_gaps AS
SELECT g.saga_id, s.business_key, format('%s rows, numbered from %s to %s', g.count, g.first, g.last) AS what
FROM (SELECT saga_id, count(*) AS count, min(seq) AS first, max(seq) AS last FROM journal
      GROUP BY saga_id HAVING min(seq) <> 1 OR max(seq) <> count(*)) AS g
LEFT JOIN saga s ON s.id = g.saga_id
UNION ALL
SELECT s.id, s.business_key, 'a saga without a journal'
FROM saga s WHERE NOT EXISTS (SELECT FROM journal j WHERE j.saga_id = s.id)
UNION ALL
SELECT j.saga_id, NULL, 'a journal without a saga'
FROM journal j WHERE j.seq = 1 AND NOT EXISTS (SELECT FROM saga s WHERE s.id = j.saga_id);

-- Committed batches that nobody will send: their owner is not registered, or silent although peers take over what is silent for 8 s.
CREATE VIEW unemitted_without_writer AS
SELECT u.writer_id, u.batch, u.owner,
       CASE WHEN w.id IS NULL THEN format('writer %s has to send it and is not registered', u.owner)
            ELSE format('writer %s has to send it and has been silent for %s s: does an engine run?', u.owner,
                        floor(extract(epoch FROM statement_timestamp() - w.heartbeat_at))) END AS what
FROM unemitted u LEFT JOIN writer w ON w.id = u.owner
WHERE w.id IS NULL OR w.heartbeat_at < statement_timestamp() - interval '1 minute';

-- Sagas that are due and that nobody has looked at.
CREATE VIEW late_wake_ups AS
SELECT id AS saga_id, business_key, wake_at,
       format('due for %s s: does an engine run?', floor(extract(epoch FROM statement_timestamp() - wake_at))) AS what
FROM saga WHERE wake_at < statement_timestamp() - interval '1 minute';

-- Records that wait for a person.
CREATE VIEW parked_open AS
SELECT id, topic, partition, "offset", encode(key, 'escape') AS key, reason AS what FROM parked_message;

-- Partitions whose records did not each end as exactly one verdict: next - first = verdicts + gaps, a parked message for each
-- verdict that parks. Seeking back begins a new count, to which older parked messages do not belong.
CREATE VIEW offset_holes AS
WITH sought AS (
    SELECT target, message, max(at) AS at FROM audit WHERE verb = 'seek' AND outcome = 'decided' GROUP BY target, message
),
counted AS (
    SELECT o.*, s.at AS sought_back_at
    FROM input_offset o
    LEFT JOIN sought s ON s.target = o.topic || '/' || o.partition AND s.message = 'to offset ' || o.first_offset
),
parked AS (
    SELECT p.topic, p.partition,
           count(*) FILTER (WHERE p.reason LIKE 'malformed:%') AS malformed,
           count(*) FILTER (WHERE p.reason LIKE 'orphan:%') AS orphan,
           count(*) FILTER (WHERE p.reason LIKE 'conflict:%') AS conflict,
           count(*) FILTER (WHERE p."offset" < c.first_offset OR p."offset" >= c.next_offset) AS outside,
           min(p."offset") FILTER (WHERE p."offset" < c.first_offset OR p."offset" >= c.next_offset) AS first_outside
    FROM parked_message p JOIN counted c ON c.topic = p.topic AND c.partition = p.partition
    WHERE c.sought_back_at IS NULL OR p.parked_at > c.sought_back_at
    GROUP BY p.topic, p.partition
),
judged AS (
    SELECT c.*, coalesce(p.malformed, 0) AS parked_malformed, coalesce(p.orphan, 0) AS parked_orphan,
           coalesce(p.conflict, 0) AS parked_conflict, coalesce(p.outside, 0) AS outside, p.first_outside,
           c.gaps + c.applied + c.ignored + c.duplicate + c.stale + c.conflict + c.orphan + c.malformed AS ended
    FROM counted c LEFT JOIN parked p ON p.topic = c.topic AND p.partition = c.partition
)
SELECT topic, partition, format('%s offsets were passed, %s are accounted for', next_offset - first_offset, ended) AS what
FROM judged WHERE next_offset - first_offset <> ended
UNION ALL
SELECT topic, partition, 'a count is negative'
FROM judged WHERE least(next_offset - first_offset, gaps, applied, ignored, duplicate, stale, conflict, orphan, malformed) < 0
UNION ALL
SELECT topic, partition, format('%s malformed records were counted, %s are parked', malformed, parked_malformed)
FROM judged WHERE malformed <> parked_malformed
UNION ALL
SELECT topic, partition, format('%s orphans were counted, %s are parked', orphan, parked_orphan)
FROM judged WHERE orphan <> parked_orphan
UNION ALL
-- Only conflicts of triggers are parked; those of replies are facts.
SELECT topic, partition, format('%s conflicts were counted, %s are parked', conflict, parked_conflict)
FROM judged WHERE parked_conflict > conflict
UNION ALL
SELECT topic, partition,
       format('%s parked messages lie outside offsets %s to %s, the first at %s', outside, first_offset, next_offset, first_outside)
FROM judged WHERE outside > 0
UNION ALL
SELECT p.topic, p.partition, format('%s messages are parked of a partition that was never read', count(*))
FROM parked_message p
WHERE NOT EXISTS (SELECT FROM input_offset o WHERE o.topic = p.topic AND o.partition = p.partition)
GROUP BY p.topic, p.partition
UNION ALL
SELECT topic, below + 1, format('partitions %s to %s were never read, although %s is read', below + 1, partition - 1, partition)
FROM (SELECT topic, partition, known_since, lag(partition, 1, -1) OVER (PARTITION BY topic ORDER BY partition) AS below
      FROM input_offset) AS neighbours
WHERE partition > below + 1 AND known_since < statement_timestamp() - interval '1 minute';
