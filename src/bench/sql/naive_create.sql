-- The tables of the textbook design: state of each saga, and what is to be sent.
CREATE TABLE IF NOT EXISTS naive_saga (
    id uuid PRIMARY KEY,
    business_key text NOT NULL UNIQUE,
    step integer NOT NULL,                           -- whose answer it waits for
    is_undoing boolean NOT NULL DEFAULT false,
    is_ended boolean NOT NULL DEFAULT false,
    data text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS naive_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    headers text NOT NULL
)
