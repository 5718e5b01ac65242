-- The tables of this service; may be applied again at any time. As an example: a row for each effect that stands.
CREATE TABLE IF NOT EXISTS effect (
    command_id uuid PRIMARY KEY,
    saga_id uuid NOT NULL,
    step text NOT NULL,
    data jsonb NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS effect_by_step ON effect (saga_id, step);
