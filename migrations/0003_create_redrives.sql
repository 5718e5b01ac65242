-- Records that are put aside, and those of them (or others) that a person sends down the line again.

ALTER TABLE parked_message
    ADD COLUMN written_at timestamptz NOT NULL DEFAULT 'epoch',   -- the record's own timestamp: sagas are named by it
    ADD COLUMN is_whole boolean NOT NULL DEFAULT true,            -- false: a record over the limits, of which the beginning was kept
    ADD COLUMN state text NOT NULL DEFAULT 'parked',
    ADD CONSTRAINT parked_message_state_is_known CHECK (state IN ('parked', 'redriven', 'discarded'));
-- headers are JSON from here on: [name, value] each, a value that is not text as {"hex": digits}.

CREATE INDEX parked_message_open ON parked_message (id) WHERE state = 'parked';

-- A record as it is to be judged: what was put aside, or what a person made of it. An engine decides.
CREATE TABLE redrive (
    id uuid PRIMARY KEY,
    message_id bigint REFERENCES parked_message,                  -- null: it was not put aside
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    written_at timestamptz NOT NULL,
    is_whole boolean NOT NULL,
    key bytea,
    value bytea,
    headers bytea NOT NULL,
    verb text NOT NULL,
    who text NOT NULL,
    reason text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    verdict text,                                                 -- null: nobody has judged it
    message text,
    decided_at timestamptz,
    CONSTRAINT redrive_verdict_is_known CHECK
        (verdict IN ('applied', 'ignored', 'duplicate', 'stale', 'conflict', 'orphan', 'malformed')),
    CONSTRAINT redrive_has_a_reason CHECK (reason <> '')
);
-- In the order of the log where they were asked for together.
CREATE INDEX redrive_pending ON redrive (requested_at, topic, partition, "offset") WHERE verdict IS NULL;
CREATE INDEX redrive_message ON redrive (message_id);

CREATE OR REPLACE VIEW parked_open AS
SELECT id, topic, partition, "offset", encode(key, 'escape') AS key, reason AS what FROM parked_message WHERE state = 'parked';
