-- Messages that were put aside, with everything that was kept of them, and how often each entered the line again.
SELECT p.id, p.topic, p.partition, p."offset", p.written_at, p.is_whole, p.key, p.value, p.headers,
       p.reason, p.parked_at, p.state, (SELECT count(*) FROM redrive r WHERE r.message_id = p.id) AS redrives,
       EXISTS (SELECT FROM redrive r WHERE r.message_id = p.id AND r.verdict IS NULL) AS is_asked,
       -- An earlier one of the same key and topic that still waits: the order of a key is kept.
       (SELECT e.id FROM parked_message e
        WHERE e.state = 'parked' AND e.topic = p.topic AND e.partition = p.partition AND e.key = p.key AND e."offset" < p."offset"
          AND NOT e.id = ANY($1)
        ORDER BY e."offset" LIMIT 1) AS earlier
FROM parked_message p WHERE p.id = ANY($1) ORDER BY p.topic, p.partition, p."offset", p.id
