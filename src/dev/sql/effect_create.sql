-- The ledger of the sample services: what each step did and undid.
CREATE TABLE IF NOT EXISTS effect (
    saga_id uuid NOT NULL,
    step text NOT NULL,
    done bigint NOT NULL,
    undone bigint NOT NULL,
    PRIMARY KEY (saga_id, step)
)
