-- What a person holds: nothing of it is sent, and its timers stand still, until it is released. A hold and a release change the catalogue's
-- generation, so a batch that was decided before is decided again.
CREATE TABLE hold (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    definition_name text,                            -- every step of it, or with `step` this one, whatever the version
    step text,
    participant text,                                -- every step that talks to it
    who text NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    released_at timestamptz,
    released_by text,
    CONSTRAINT hold_has_one_target CHECK ((participant IS NULL) <> (definition_name IS NULL) AND (step IS NULL OR participant IS NULL)),
    CONSTRAINT hold_has_a_reason CHECK (reason <> ''),
    CONSTRAINT hold_is_released_by_somebody CHECK ((released_at IS NULL) = (released_by IS NULL))
);
CREATE UNIQUE INDEX hold_once ON hold (coalesce(definition_name, ''), coalesce(step, ''), coalesce(participant, '')) WHERE released_at IS NULL;
-- Engines of versions that know of holds say so: nothing is held while others may run, which would send all the same, and none begins while
-- something is held.
ALTER TABLE writer ADD COLUMN heeds_holds boolean NOT NULL DEFAULT false;
CREATE FUNCTION refuse_deaf_writer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM must(NOT EXISTS (SELECT FROM hold WHERE released_at IS NULL), 'SG008', 'an engine that knows of holds is needed: something is held');
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_deaf_writer BEFORE INSERT ON writer FOR EACH ROW WHEN (NOT NEW.heeds_holds) EXECUTE FUNCTION refuse_deaf_writer();
-- The generation at which something was released last: sagas that were held before it have to be looked at.
ALTER TABLE catalogue ADD COLUMN released_generation bigint NOT NULL DEFAULT 0;
-- Sagas that are due and that nobody has looked at; also such as wait for a release that came.
CREATE OR REPLACE VIEW late_wake_ups AS
SELECT id AS saga_id, business_key, wake_at,
       format('due for %s s: does an engine run?', floor(extract(epoch FROM statement_timestamp() - wake_at))) AS what
FROM saga WHERE wake_at < statement_timestamp() - interval '1 minute'
UNION ALL
SELECT s.id, s.business_key, s.wake_at, 'released and not gone on with: does an engine run?'
FROM saga s, catalogue c
WHERE s.wake_at >= timestamptz '9000-01-01 00:00:00Z'
  AND s.wake_at < timestamptz '9000-01-01 00:00:00Z' + c.released_generation * interval '1 millisecond'
  AND NOT EXISTS (SELECT FROM hold WHERE released_at > statement_timestamp() - interval '10 minutes');
