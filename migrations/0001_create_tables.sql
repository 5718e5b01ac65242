-- Everything that Sagabus keeps. See ARCHITECTURE.md section 4.

-- A guard inside a statement: a false one raises, so that the whole statement does nothing.
CREATE FUNCTION must(ok boolean, code text, what text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS
$$ BEGIN IF ok THEN RETURN true; END IF; RAISE EXCEPTION '%', what USING ERRCODE = code; END $$;

-- Definitions are immutable; which ones start sagas is apart.
CREATE TABLE definition (
    hash bytea PRIMARY KEY,
    name text NOT NULL,
    version integer NOT NULL,
    body text NOT NULL,                              -- self-contained: YAML and schemas, so that running sagas need no folder
    deployed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT definition_hash_is_sha256 CHECK (octet_length(hash) = 32),
    CONSTRAINT definition_version_is_positive CHECK (version >= 0)
);

CREATE TABLE active_definition (
    name text PRIMARY KEY,
    hash bytea NOT NULL REFERENCES definition
);

-- One row: it changes whenever the active definitions do, and each batch names the value that it was decided with.
CREATE TABLE catalogue (
    only_row boolean PRIMARY KEY DEFAULT true,
    generation bigint NOT NULL,
    CONSTRAINT catalogue_has_one_row CHECK (only_row)
);
INSERT INTO catalogue (generation) VALUES (0);

-- Where each saga stands: small and fixed, written at the start and when something must change.
CREATE TABLE saga (
    id uuid PRIMARY KEY,
    definition_hash bytea NOT NULL,
    definition_name text NOT NULL,
    business_key text NOT NULL,
    phase smallint NOT NULL,                         -- the place in core's list of phases
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    wake_at timestamptz,                             -- look at it no later than this
    error text,                                      -- what went wrong first, as JSON
    CONSTRAINT saga_business_key_is_unique UNIQUE (definition_name, business_key),
    CONSTRAINT saga_phase_is_known CHECK (phase BETWEEN 0 AND 8),
    CONSTRAINT saga_is_finished_when_its_phase_is_final CHECK ((phase >= 4) = (finished_at IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX saga_wake_at ON saga (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX saga_open_by_definition ON saga (definition_hash) WHERE finished_at IS NULL;

-- What happened to each saga, one row a transition. Append-only.
CREATE TABLE journal (
    saga_id uuid NOT NULL,
    seq integer NOT NULL,
    at timestamptz NOT NULL,
    writer bigint NOT NULL,
    facts bytea NOT NULL,                            -- MessagePack of {now, facts}: `sagabus show` reads it
    CONSTRAINT journal_key PRIMARY KEY (saga_id, seq),
    CONSTRAINT journal_seq_is_positive CHECK (seq > 0)
) PARTITION BY RANGE (saga_id);
-- Never dropped: a trigger with an odd timestamp must not block its Kafka partition.
CREATE TABLE journal_default PARTITION OF journal DEFAULT;

CREATE SEQUENCE writer_age;

-- One row a registration of an engine. (id, incarnation, batch) is the fence.
CREATE TABLE writer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance text,
    age bigint NOT NULL,                             -- given at process start, kept by re-registration: who of one name is younger
    incarnation uuid NOT NULL,
    batch bigint NOT NULL DEFAULT 0,
    taken_over boolean NOT NULL DEFAULT false,
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 20);

-- One row a batch whose commands are not all acknowledged by the broker.
CREATE TABLE unemitted (
    writer_id bigint NOT NULL,
    batch bigint NOT NULL,
    owner bigint NOT NULL,                           -- who has to send it: takeover changes this, never the name
    saga_ids uuid[] NOT NULL,
    seqs integer[] NOT NULL,
    CONSTRAINT unemitted_key PRIMARY KEY (writer_id, batch)
);
CREATE INDEX unemitted_owner ON unemitted (owner);

-- Where each partition of each input topic stands: next - first = verdicts + gaps.
CREATE TABLE input_offset (
    topic text NOT NULL,
    partition integer NOT NULL,
    first_offset bigint NOT NULL,
    next_offset bigint NOT NULL,
    stopped_because text,                            -- nobody reads it until an operator seeks
    gaps bigint NOT NULL DEFAULT 0,
    applied bigint NOT NULL DEFAULT 0,
    ignored bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    stale bigint NOT NULL DEFAULT 0,
    conflict bigint NOT NULL DEFAULT 0,
    orphan bigint NOT NULL DEFAULT 0,
    malformed bigint NOT NULL DEFAULT 0,
    CONSTRAINT input_offset_key PRIMARY KEY (topic, partition),
    CONSTRAINT input_offset_balances CHECK
        (next_offset - first_offset = gaps + applied + ignored + duplicate + stale + conflict + orphan + malformed)
) WITH (fillfactor = 20);

-- Records put aside, visible, waiting for a person.
CREATE TABLE parked_message (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    reason text NOT NULL,
    key bytea,
    value bytea,
    headers bytea NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
-- Not unique: what is read again after a seek is parked again, and a topic made anew has other records at the same offsets.
CREATE INDEX parked_message_place ON parked_message (topic, partition, "offset");

-- What operators ask. An engine decides.
CREATE TABLE operation (
    id uuid PRIMARY KEY,
    saga_id uuid NOT NULL,
    request text NOT NULL,                           -- core's Operation as JSON
    verb text NOT NULL,
    who text NOT NULL,
    reason text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL DEFAULT 'pending',
    message text,
    decided_at timestamptz,
    CONSTRAINT operation_state_is_known CHECK (state IN ('pending', 'decided', 'refused', 'unknown')),
    CONSTRAINT operation_has_a_reason CHECK (reason <> '')
);
CREATE INDEX operation_pending ON operation (requested_at) WHERE state = 'pending';

-- Who did what, and what was refused. Append-only.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,
    verb text NOT NULL,
    target text NOT NULL,
    reason text NOT NULL,
    outcome text NOT NULL,
    message text,
    seq_before integer,
    seq_after integer
);

-- Adds definitions, or replaces by name where the version is greater, in one statement. The generation moves only if something
-- changed. The same version with other content is refused, unless `replaces`. Nothing is retired by absence.
CREATE FUNCTION deploy(hashes bytea[], names text[], versions integer[], bodies text[], replaces boolean)
RETURNS TABLE (outcome text, generation_now bigint) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    place integer;
    old record;
    outcomes text[] := '{}';
    changed boolean := false;
BEGIN
    -- Deployments wait for each other.
    PERFORM 1 FROM catalogue FOR UPDATE;
    FOR place IN 1 .. coalesce(cardinality(hashes), 0) LOOP
        SELECT a.hash, d.version INTO old FROM active_definition a JOIN definition d ON d.hash = a.hash WHERE a.name = names[place];
        IF FOUND AND old.hash = hashes[place] THEN
            outcomes := outcomes || 'unchanged'::text;
        ELSIF FOUND AND old.version > versions[place] THEN
            outcomes := outcomes || 'older'::text;
        ELSE
            PERFORM must(NOT (FOUND AND old.version = versions[place]) OR replaces, 'SG006',
                format('version %s of %s has another content', versions[place], names[place]));
            INSERT INTO definition (hash, name, version, body)
                VALUES (hashes[place], names[place], versions[place], bodies[place]) ON CONFLICT (hash) DO NOTHING;
            INSERT INTO active_definition AS a (name, hash) VALUES (names[place], hashes[place])
                ON CONFLICT (name) DO UPDATE SET hash = excluded.hash;
            outcomes := outcomes || 'activated'::text;
            changed := true;
        END IF;
    END LOOP;
    IF changed THEN
        UPDATE catalogue SET generation = generation + 1;
    END IF;
    RETURN QUERY SELECT o, (SELECT generation FROM catalogue) FROM unnest(outcomes) WITH ORDINALITY AS u(o, n) ORDER BY n;
END $$;
