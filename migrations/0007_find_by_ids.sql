-- What people have in hand beside a saga's id and business key leads to it by an index (OPERATIONS.md section 1).

-- A command's id begins with a digest of its saga's id (core/ids.rs).
CREATE INDEX saga_command ON saga (substring(sha256(uuid_send(id)) FROM 1 FOR 6));

-- Sagas whose trigger belonged to a trace. Who traces nothing pays nothing.
CREATE TABLE saga_trace (
    trace_id uuid NOT NULL,
    saga_id uuid NOT NULL,
    CONSTRAINT saga_trace_key PRIMARY KEY (trace_id, saga_id)
) PARTITION BY RANGE (saga_id);
CREATE TABLE saga_trace_default PARTITION OF saga_trace DEFAULT;
