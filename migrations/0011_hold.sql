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
-- The generation at which something was released last: sagas that were held before it have to be looked at.
ALTER TABLE catalogue ADD COLUMN released_generation bigint NOT NULL DEFAULT 0;
