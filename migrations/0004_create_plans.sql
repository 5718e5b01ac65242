-- Bulk actions: a plan is a list of sagas and what an action would do to each; applied, it is a job of the same number.

-- Above how many eligible sagas somebody else applies a plan than planned it.
CREATE TABLE approval (
    only_row boolean PRIMARY KEY DEFAULT true,
    minimum_sagas integer NOT NULL DEFAULT 100,
    CONSTRAINT approval_has_one_row CHECK (only_row),
    CONSTRAINT approval_is_not_negative CHECK (minimum_sagas >= 0)
);
INSERT INTO approval DEFAULT VALUES;

-- Taken before the plan is written: the ids of its actions are derived from it.
CREATE SEQUENCE plan_number;

CREATE TABLE plan (
    number bigint PRIMARY KEY,
    hash bytea NOT NULL,                             -- over the action and every item: two plans of the same state have the same
    verb text NOT NULL,
    request text NOT NULL,                           -- core's Verb as JSON
    selected text NOT NULL,                          -- which sagas, as it was said
    eligible integer NOT NULL,
    ineligible integer NOT NULL,
    planned_by text NOT NULL,
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    valid_until timestamptz NOT NULL DEFAULT clock_timestamp() + interval '1 hour',
    state text NOT NULL DEFAULT 'planned',
    -- What the person said who applied it.
    applied_by text,
    reason text,
    applied_at timestamptz,
    rate text,                                       -- such as 20/s
    ramp boolean,
    items_max integer,
    stop_percent integer,
    -- How far the job is. What became of an item is its operation's state, never written twice.
    released integer NOT NULL DEFAULT 0,             -- items whose actions were asked for: those with a turn up to this one
    next_at timestamptz,                             -- no item goes earlier
    forgiven_decided integer NOT NULL DEFAULT 0,     -- what a person had seen who let it go on: it stops the job no more
    forgiven_errors integer NOT NULL DEFAULT 0,
    message text,                                    -- why it waits
    ended_at timestamptz,
    -- One worker at a time; only a worker moves a job, and only a job that is its own.
    worker uuid,
    leased_until timestamptz,
    CONSTRAINT plan_hash_is_sha256 CHECK (octet_length(hash) = 32),
    CONSTRAINT plan_state_is_known CHECK (state IN ('planned', 'applying', 'paused', 'done', 'partial', 'cancelled')),
    CONSTRAINT plan_is_applied_by_somebody_for_a_reason CHECK
        (state IN ('planned', 'cancelled') OR (applied_by IS NOT NULL AND reason IS NOT NULL AND reason <> '')),
    CONSTRAINT plan_has_ended_when_its_state_is_final CHECK ((state IN ('done', 'partial', 'cancelled')) = (ended_at IS NOT NULL)),
    CONSTRAINT plan_releases_what_is_eligible CHECK (released BETWEEN 0 AND eligible)
);
CREATE INDEX plan_applying ON plan (number) WHERE state = 'applying';

CREATE TABLE plan_item (
    plan bigint NOT NULL REFERENCES plan,
    saga_id uuid NOT NULL,
    seq integer NOT NULL,                            -- the saga's journal when it was planned: moved on, it is refused
    turn integer,                                    -- 1, 2, 3 ... of what is eligible
    operation_id uuid NOT NULL,                      -- derived from plan and saga, so that it can be asked for once only
    effect text NOT NULL,                            -- JSON: phases, and what would be sent; data as their SHA-256, payloads stay in the journal
    leaves_stuck boolean NOT NULL,                   -- the plan itself says that the saga stays stuck
    refusal text,                                    -- why it is not eligible
    CONSTRAINT plan_item_key PRIMARY KEY (plan, saga_id),
    CONSTRAINT plan_item_turn_is_unique UNIQUE (plan, turn),
    CONSTRAINT plan_item_is_eligible_or_refused CHECK ((turn IS NULL) = (refusal IS NOT NULL))
);

-- What became of each item: its operation's state, which the engine's own statement writes. Nobody writes it a second time.
CREATE VIEW plan_outcome AS
SELECT i.plan, i.turn, i.saga_id, s.business_key, i.seq, i.effect,
       CASE WHEN i.turn IS NULL THEN 'skipped'
            WHEN o.state = 'decided' THEN 'applied'
            WHEN o.state = 'refused' THEN 'refused'
            WHEN o.state = 'unknown' THEN 'failed'
            WHEN o.state IS NULL AND (i.turn > p.items_max OR p.state IN ('done', 'partial', 'cancelled')) THEN 'skipped'
            ELSE 'pending' END AS state,
       coalesce(i.refusal, o.message) AS message,
       -- It went on, and a person has to look at it again.
       coalesce(o.state = 'decided' AND s.phase = 2 AND NOT i.leaves_stuck, false) AS is_stuck_again
FROM plan_item i JOIN plan p ON p.number = i.plan
LEFT JOIN operation o ON o.id = i.operation_id LEFT JOIN saga s ON s.id = i.saga_id;
