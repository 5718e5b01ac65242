-- Journals are kept by periods: a table for each, made ahead and dropped whole, while the default partition takes whatever lies in none
-- (odd timestamps, what came before there were periods, and what is left of a dropped one). ARCHITECTURE.md section 5.

-- The first id of the sagas whose triggers were written at this moment (core/ids.rs), and back.
CREATE FUNCTION saga_id_at(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT (lpad(to_hex(least(greatest(floor(extract(epoch FROM moment) * 1000), 0), 281474976710655)::bigint), 12, '0') || repeat('0', 20))::uuid $$;
CREATE FUNCTION moment_of(saga_id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
$$ SELECT to_timestamp(('x' || lpad(left(replace(saga_id::text, '-', ''), 12), 16, '0'))::bit(64)::bigint / 1000.0) $$;

-- Sagas of one table of a period: from_id <= id < to_id. The default partition has neither.
CREATE VIEW period AS
SELECT p.relname::text AS parent, c.relname::text AS name, c.oid AS relation,
       substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''([0-9a-f-]{36})''\)')::uuid AS from_id,
       substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([0-9a-f-]{36})''\)')::uuid AS to_id
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
WHERE i.inhparent IN ('journal'::regclass, 'saga_trace'::regclass);

-- Periods whose sagas are being removed: a journal there that ended before the moment may be without its saga, until its table is dropped.
CREATE TABLE emptied_period (
    from_id uuid PRIMARY KEY,
    to_id uuid NOT NULL,
    ended_before timestamptz NOT NULL,
    CONSTRAINT emptied_period_has_a_beginning_and_an_end CHECK (from_id < to_id)
);

-- A large default partition is proven to hold nothing of a range without a lock that anybody waits for: `clear_default`, `prove_default`, then
-- `make_period`, then `release_default`. Meanwhile an insert of the range fails and is tried again; it is one that is to come.
CREATE FUNCTION is_cleared(parent text) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT EXISTS (SELECT FROM pg_constraint
    WHERE conrelid = to_regclass(parent || '_default') AND conname = parent || '_default_is_cleared' AND convalidated) $$;
CREATE FUNCTION clear_default(parent text, starts timestamptz, ends timestamptz) RETURNS void LANGUAGE plpgsql VOLATILE AS
$$ BEGIN EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (saga_id < %L OR saga_id >= %L) NOT VALID',
    parent || '_default', parent || '_default_is_cleared', saga_id_at(starts), saga_id_at(ends)); END $$;
CREATE FUNCTION prove_default(parent text) RETURNS void LANGUAGE plpgsql VOLATILE AS
$$ BEGIN EXECUTE format('ALTER TABLE %I VALIDATE CONSTRAINT %I', parent || '_default', parent || '_default_is_cleared'); END $$;
CREATE FUNCTION release_default(parent text) RETURNS void LANGUAGE plpgsql VOLATILE AS
$$ BEGIN
    IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass(parent || '_default') AND conname = parent || '_default_is_cleared') THEN
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', parent || '_default', parent || '_default_is_cleared');
    END IF;
END $$;

-- Makes the table of one period, or of what other tables leave of it: `made`, `there`, or `occupied` when rows of it lie in the default
-- partition already, where they stay. Attaching locks the default partition while Postgres looks through it, unless it is proven to hold
-- nothing of the period (`clear_default`): where that would take longer than some 10 ms, the answer is `large`.
CREATE FUNCTION make_period(parent text, starts timestamptz, ends timestamptz) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    low uuid := saga_id_at(starts);
    high uuid := saga_id_at(ends);
    name text;
    others regclass := to_regclass(parent || '_default');
    is_occupied boolean;
BEGIN
    -- Tables of another length may follow each other here.
    WHILE EXISTS (SELECT FROM period p WHERE p.parent = $1 AND p.from_id <= low AND p.to_id > low) LOOP
        low := (SELECT p.to_id FROM period p WHERE p.parent = $1 AND p.from_id <= low AND p.to_id > low);
    END LOOP;
    high := coalesce((SELECT p.from_id FROM period p WHERE p.parent = $1 AND p.from_id >= low AND p.from_id < high
                      ORDER BY p.from_id LIMIT 1), high);
    IF low >= high THEN
        RETURN 'there';
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE saga_id >= $1 AND saga_id < $2)', others)
        INTO is_occupied USING low, high;
    IF is_occupied THEN
        RETURN 'occupied';
    END IF;
    IF pg_relation_size(others) > 16777216 AND NOT is_cleared(parent) THEN
        RETURN 'large';
    END IF;
    name := parent || to_char(moment_of(low) AT TIME ZONE 'UTC', '_YYYYMMDD_HH24MI');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, low, high);
    RETURN 'made';
END $$;

-- Looks at the next `most` sagas by id behind `after` whose triggers were written before a moment (Kafka holds those of the future for so much
-- longer), and removes those that ended before it and of which nothing is to come: no wake-up, nothing to be sent, nothing asked. Their journals go with them from the default partition, elsewhere
-- with the table of their period. What an engine holds at the moment is passed over; one that comes later finds no saga (batch_commit.sql).
-- The first removal of a run is told to the audit.
CREATE FUNCTION remove_sagas(after uuid, most integer, ended_before timestamptz, is_told boolean, who text, reason text,
                             OUT looked_at integer, OUT removed integer, OUT last uuid) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    -- Never less than a day, whoever calls: engines look whether a saga is there only of older ones.
    before timestamptz := least(ended_before, clock_timestamp() - interval '1 day');
    page uuid[];
    gone uuid[];
BEGIN
    page := ARRAY(SELECT s.id FROM saga s WHERE s.id > after AND s.id < saga_id_at(before) ORDER BY s.id LIMIT most);
    looked_at := cardinality(page);
    last := coalesce(page[looked_at], after);
    gone := ARRAY(
        SELECT s.id FROM saga s
        WHERE s.id = ANY (page) AND s.finished_at < before AND s.wake_at IS NULL
          AND s.id NOT IN (SELECT unnest(u.saga_ids) FROM unemitted u)
          AND s.id NOT IN (SELECT o.saga_id FROM operation o WHERE o.state = 'pending')
        ORDER BY s.id FOR UPDATE OF s SKIP LOCKED);
    removed := cardinality(gone);
    IF removed = 0 THEN
        RETURN;
    END IF;
    -- Statements of their own, so with a snapshot of after the locks: nobody writes a row for these sagas any more.
    DELETE FROM journal_default j WHERE j.saga_id = ANY (gone);
    DELETE FROM saga s WHERE s.id = ANY (gone);
    INSERT INTO emptied_period AS e (from_id, to_id, ended_before)
    SELECT p.from_id, p.to_id, before FROM period p
    WHERE p.parent = 'journal' AND EXISTS (SELECT FROM unnest(gone) AS g(id) WHERE g.id >= p.from_id AND g.id < p.to_id)
    ON CONFLICT (from_id) DO UPDATE SET ended_before = greatest(e.ended_before, excluded.ended_before);
    IF NOT is_told THEN
        INSERT INTO audit (who, verb, target, reason, outcome)
        VALUES (who, 'remove sagas', 'ended before ' || to_char(before AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), reason, 'decided');
    END IF;
END $$;

-- Drops the table of one period, audited. Rows of sagas that are still there go to the default partition in the same transaction, so nobody
-- sees a saga without its journal. More than `most` such sagas, or much of them, or something of the last minute (what is copied is told again to
-- those who follow the changes), and nothing is done. Returns how many there are, or more than `most`. Everybody who writes a journal waits
-- meanwhile: some milliseconds.
CREATE FUNCTION drop_period(part text, most integer, who text, reason text) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    chosen period%ROWTYPE;
    left_over uuid[];
    traces uuid[];
    bytes bigint;
    newest timestamptz;
BEGIN
    SELECT * INTO STRICT chosen FROM period p WHERE p.name = part AND p.from_id IS NOT NULL;
    left_over := ARRAY(SELECT s.id FROM saga s WHERE s.id >= chosen.from_id AND s.id < chosen.to_id ORDER BY s.id LIMIT most + 1);
    IF cardinality(left_over) > most THEN
        RETURN cardinality(left_over);
    END IF;
    IF chosen.parent = 'saga_trace' THEN
        -- No index begins with the saga here, so they are looked for before anybody has to wait.
        EXECUTE format('SELECT array_agg(trace_id) FROM %I WHERE saga_id = ANY ($1)', part) INTO traces USING left_over;
    END IF;
    IF chosen.parent = 'journal' THEN
        EXECUTE format('SELECT sum(octet_length(facts)), max(at) FROM %I WHERE saga_id = ANY ($1)', part) INTO bytes, newest USING left_over;
        IF bytes > 16777216 OR newest > clock_timestamp() - interval '1 minute' THEN
            RETURN most + 1;
        END IF;
    END IF;
    -- The one lock that everybody takes first, before any that belongs to a partition.
    EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', chosen.parent);
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', chosen.parent, part);
    IF chosen.parent = 'saga_trace' THEN
        EXECUTE format('INSERT INTO %I SELECT * FROM %I WHERE trace_id = ANY ($1) AND saga_id = ANY ($2)', chosen.parent, part)
            USING traces, left_over;
    ELSE
        left_over := ARRAY(SELECT s.id FROM saga s WHERE s.id >= chosen.from_id AND s.id < chosen.to_id ORDER BY s.id);
        EXECUTE format('INSERT INTO %I SELECT * FROM %I WHERE saga_id = ANY ($1)', chosen.parent, part) USING left_over;
        DELETE FROM emptied_period e WHERE e.from_id = chosen.from_id;
    END IF;
    EXECUTE format('DROP TABLE %I', part);
    INSERT INTO audit (who, verb, target, reason, outcome, message)
    VALUES (who, 'drop partition', part, reason, 'decided', format('%s sagas of it are kept', cardinality(left_over)));
    RETURN cardinality(left_over);
END $$;

-- As before, but for what is being removed: it has a beginning and no saga any more.
CREATE OR REPLACE VIEW journal_gaps AS
SELECT g.saga_id, s.business_key, format('%s rows, numbered from %s to %s', g.count, g.first, g.last) AS what
FROM (SELECT saga_id, count(*) AS count, min(seq) AS first, max(seq) AS last FROM journal
      GROUP BY saga_id HAVING min(seq) <> 1 OR max(seq) <> count(*)) AS g
LEFT JOIN saga s ON s.id = g.saga_id
UNION ALL
SELECT s.id, s.business_key, 'a saga without a journal'
FROM saga s WHERE NOT EXISTS (SELECT FROM journal j WHERE j.saga_id = s.id)
UNION ALL
SELECT j.saga_id, NULL, 'a journal without a saga'
FROM journal j WHERE j.seq = 1 AND NOT EXISTS (SELECT FROM saga s WHERE s.id = j.saga_id)
  AND NOT EXISTS (SELECT FROM emptied_period e WHERE j.saga_id >= e.from_id AND j.saga_id < e.to_id
                  -- Written a moment after it was decided.
                  AND j.at < e.ended_before + interval '1 minute');
