-- The one statement of a batch (BATCH.md): guards first, each raising, then the writes in the order of locks that all writers keep.
WITH fence AS (
    UPDATE writer SET batch = batch + 1, heartbeat_at = clock_timestamp()
    WHERE id = $1 AND incarnation = $2 AND batch = $3 AND server_started_at = pg_postmaster_start_time() RETURNING batch
),
g1 AS MATERIALIZED (
    SELECT must((SELECT count(*) FROM fence) = 1, 'SG001', 'fenced')
       AND must((SELECT generation FROM catalogue) = $4, 'SG002', 'catalogue changed')
       -- The engine's estimate of this clock ran ahead: it waits and sends the same statement again, so no timer fires early.
       AND must($49::timestamptz <= clock_timestamp(), 'SG007', 'decided ahead of the clock') AS ok
),
held AS MATERIALIZED (
    SELECT o.topic, o.partition, d.f, d.u, d.gaps, d.app, d.ign, d.dup, d.sta, d.con, d.orp, d.mal
    FROM input_offset o
    JOIN unnest($5::text[], $6::int[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
                $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[])
        AS d(t, p, f, u, gaps, app, ign, dup, sta, con, orp, mal) ON o.topic = d.t AND o.partition = d.p
    WHERE (SELECT ok FROM g1) ORDER BY o.topic, o.partition FOR NO KEY UPDATE OF o
),
moved AS (
    UPDATE input_offset o SET next_offset = h.u, gaps = o.gaps + h.gaps, applied = o.applied + h.app, ignored = o.ignored + h.ign,
        duplicate = o.duplicate + h.dup, stale = o.stale + h.sta, conflict = o.conflict + h.con, orphan = o.orphan + h.orp,
        malformed = o.malformed + h.mal
    FROM held h WHERE o.topic = h.topic AND o.partition = h.partition AND o.next_offset = h.f AND o.stopped_because IS NULL RETURNING 1
),
g2 AS MATERIALIZED (
    SELECT must((SELECT count(*) FROM moved) = cardinality($5::text[]), 'SG003', 'offset moved') AS ok
),
-- Sagas that are old enough to be removed have to be there, and stay until this has ended (remove_sagas).
aged AS MATERIALIZED (
    SELECT s.id FROM saga s WHERE s.id = ANY($63::uuid[]) AND (SELECT ok FROM g2) ORDER BY s.id FOR KEY SHARE
),
there AS MATERIALIZED (
    SELECT must((SELECT count(*) FROM aged) = cardinality($63::uuid[]), 'SG005', 'saga removed') AS ok FROM g2
),
j AS (
    INSERT INTO journal (saga_id, seq, at, writer, facts)
    SELECT d.id, d.seq, clock_timestamp(), $1, d.facts
    FROM unnest($17::uuid[], $18::int[], $19::bytea[]) AS d(id, seq, facts)
    WHERE (SELECT ok FROM there) ORDER BY d.id, d.seq RETURNING 1
),
born AS (
    INSERT INTO saga (id, definition_hash, definition_name, business_key, phase, started_at, finished_at, wake_at, error)
    SELECT d.id, d.hash, d.name, d.bk, d.phase, clock_timestamp(), d.fin, d.wake, d.err
    FROM unnest($20::uuid[], $21::bytea[], $22::text[], $23::text[], $24::smallint[], $25::timestamptz[], $26::timestamptz[], $27::text[])
        AS d(id, hash, name, bk, phase, fin, wake, err)
    WHERE (SELECT count(*) FROM j) = cardinality($17::uuid[]) ORDER BY d.name, d.bk RETURNING 1
),
traced AS (
    INSERT INTO saga_trace (trace_id, saga_id)
    SELECT d.trace, d.id FROM unnest($61::uuid[], $62::uuid[]) AS d(trace, id) WHERE (SELECT ok FROM g2)
),
turned AS (
    UPDATE saga s SET phase = d.phase, finished_at = d.fin, wake_at = d.wake, error = d.err
    FROM unnest($28::uuid[], $29::smallint[], $30::timestamptz[], $31::timestamptz[], $32::text[]) AS d(id, phase, fin, wake, err)
    WHERE s.id = d.id AND (SELECT count(*) FROM born) = cardinality($20::uuid[]) RETURNING 1
),
g3 AS MATERIALIZED (
    SELECT must((SELECT count(*) FROM turned) = cardinality($28::uuid[]), 'SG004', 'saga row missing or twice') AS ok
),
park AS (
    INSERT INTO parked_message (topic, partition, "offset", reason, key, value, headers, written_at, is_whole)
    SELECT d.topic, d.part, d.off, d.reason, d.key, d.val, d.headers, d.written, d.whole
    FROM unnest($33::text[], $34::int[], $35::bigint[], $36::text[], $37::bytea[], $38::bytea[], $39::bytea[],
                $54::timestamptz[], $55::boolean[])
        AS d(topic, part, off, reason, key, val, headers, written, whole)
    WHERE (SELECT ok FROM g2)
),
note AS (
    INSERT INTO unemitted (writer_id, batch, owner, saga_ids, seqs)
    SELECT $1, batch, $1, $40::uuid[], $41::int[] FROM fence WHERE (SELECT ok FROM g2) AND cardinality($40::uuid[]) > 0
),
done AS (
    DELETE FROM unemitted e USING unnest($42::bigint[], $43::bigint[]) AS d(w, b)
    WHERE (SELECT ok FROM g2) AND e.writer_id = d.w AND e.batch = d.b AND e.owner = $1
),
shrunk AS (
    UPDATE unemitted e SET saga_ids = d.ids, seqs = d.seqs
    FROM (SELECT w, b, array_agg(id ORDER BY n) AS ids, array_agg(seq ORDER BY n) AS seqs
          FROM unnest($50::bigint[], $51::bigint[], $52::uuid[], $53::int[]) WITH ORDINALITY AS x(w, b, id, seq, n)
          GROUP BY w, b) AS d
    WHERE (SELECT ok FROM g2) AND e.writer_id = d.w AND e.batch = d.b AND e.owner = $1
),
decided AS (
    UPDATE operation o SET state = d.state, code = d.code, message = d.message, decided_at = clock_timestamp()
    FROM unnest($44::uuid[], $45::text[], $60::text[], $46::text[]) AS d(id, state, code, message)
    WHERE (SELECT ok FROM g3) AND o.id = d.id AND o.state = 'pending'
    RETURNING o.id, o.saga_id, o.verb, o.who, o.reason, d.state, d.message
),
told AS (
    INSERT INTO audit (who, verb, target, reason, outcome, message, seq_before, seq_after)
    SELECT a.who, a.verb, a.saga_id::text, a.reason, a.state, a.message, d.before, d.after
    FROM decided a JOIN unnest($44::uuid[], $47::int[], $48::int[]) AS d(id, before, after) ON a.id = d.id
),
redriven AS (
    UPDATE redrive r SET verdict = d.verdict, message = d.message, decided_at = clock_timestamp()
    FROM unnest($56::uuid[], $57::text[], $58::text[], $59::boolean[]) AS d(id, verdict, message, stays)
    WHERE (SELECT ok FROM g3) AND r.id = d.id AND r.verdict IS NULL
    RETURNING r.id, r.message_id, r.topic, r.partition, r."offset", r.verb, r.who, r.reason, d.verdict, d.message, d.stays
),
freed AS (
    UPDATE parked_message p SET state = 'redriven' FROM redriven r WHERE p.id = r.message_id AND NOT r.stays
),
retold AS (
    INSERT INTO audit (who, verb, target, reason, outcome, message)
    SELECT who, verb, coalesce('parked message ' || message_id, topic || '/' || partition || '@' || "offset"), reason,
           CASE WHEN stays THEN 'refused' ELSE 'decided' END, coalesce(message, verdict)
    FROM redriven
)
SELECT (SELECT batch FROM fence), clock_timestamp()
WHERE (SELECT ok FROM g3)
  AND must((SELECT count(*) FROM decided) = cardinality($44::uuid[]), 'SG005', 'operation decided by another writer')
  AND must((SELECT count(*) FROM redriven) = cardinality($56::uuid[]), 'SG005', 'record redriven by another writer');
