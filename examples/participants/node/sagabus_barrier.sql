-- The barrier: apply this file to the database of a service that takes part in sagas. It may be applied again at any time.
-- begin and finish run in the service's own transaction, around its own writes.

CREATE SCHEMA IF NOT EXISTS sagabus_barrier;

-- Every command that was begun, with its answer once there is one.
CREATE TABLE IF NOT EXISTS sagabus_barrier.command (
    command_id uuid PRIMARY KEY,
    saga_id uuid NOT NULL,
    step text NOT NULL,
    action text NOT NULL,
    attempt integer NOT NULL,
    data_hash bytea NOT NULL,                        -- SHA-256 of the command's value: the same id with other data is a conflict
    lease_until timestamptz,                         -- a handler that calls out holds no transaction open: it is at work until then
    outcome text,
    error_code text,
    retryable boolean NOT NULL DEFAULT false,
    effect boolean NOT NULL DEFAULT true,
    reply bytea,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    CONSTRAINT command_action_is_known CHECK (action IN ('do', 'undo')),
    CONSTRAINT command_outcome_is_known CHECK (outcome IN ('success', 'failure'))
);
CREATE INDEX IF NOT EXISTS command_by_step ON sagabus_barrier.command (saga_id, step);
CREATE INDEX IF NOT EXISTS command_by_finish ON sagabus_barrier.command (finished_at);

-- Steps that an undo has closed for good: any do that comes later is refused.
CREATE TABLE IF NOT EXISTS sagabus_barrier.closed_step (
    saga_id uuid NOT NULL,
    step text NOT NULL,
    closed_by uuid NOT NULL,
    closed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (saga_id, step)
);

-- Says what to do with a command: run, or answer with what is stored (duplicate, refused, nothing), or conflict, or busy (answer
-- nothing: the command comes again).
CREATE OR REPLACE FUNCTION sagabus_barrier.begin(
    a_command_id uuid, a_saga_id uuid, a_step text, a_action text, an_attempt integer, a_data_hash bytea, a_lease interval DEFAULT NULL
) RETURNS TABLE (verdict text, outcome text, error_code text, retryable boolean, effect boolean, reply bytea)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    known sagabus_barrier.command;
    is_new boolean;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'the barrier needs READ COMMITTED: a stricter transaction would not see what it waited for'
            USING ERRCODE = '25001';
    END IF;
    -- A statement of its own, so that what follows has a newer snapshot: a do and its undo at the same moment wait for each other.
    PERFORM pg_advisory_xact_lock(hashtextextended(a_saga_id::text || '/' || a_step, 5242));
    INSERT INTO sagabus_barrier.command AS c (command_id, saga_id, step, action, attempt, data_hash, lease_until)
        VALUES (a_command_id, a_saga_id, a_step, a_action, an_attempt, a_data_hash, clock_timestamp() + a_lease)
        ON CONFLICT (command_id) DO NOTHING;
    is_new := FOUND;
    SELECT * INTO known FROM sagabus_barrier.command c WHERE c.command_id = a_command_id FOR UPDATE;
    IF NOT is_new THEN
        IF known.data_hash <> a_data_hash THEN
            RETURN QUERY SELECT 'conflict', NULL::text, NULL::text, false, true, NULL::bytea;
            RETURN;
        ELSIF known.outcome IS NOT NULL THEN
            RETURN QUERY SELECT 'duplicate', known.outcome, known.error_code, known.retryable, known.effect, known.reply;
            RETURN;
        ELSIF known.lease_until > clock_timestamp() THEN
            RETURN QUERY SELECT 'busy', NULL::text, NULL::text, false, true, NULL::bytea;
            RETURN;
        END IF;
        UPDATE sagabus_barrier.command c SET lease_until = clock_timestamp() + a_lease WHERE c.command_id = a_command_id;
    END IF;
    IF a_action = 'do' THEN
        IF EXISTS (SELECT 1 FROM sagabus_barrier.closed_step s WHERE s.saga_id = a_saga_id AND s.step = a_step) THEN
            RETURN QUERY SELECT 'refused', f.* FROM sagabus_barrier.settle(a_command_id, 'failure', 'saga.step_closed', true) f;
            RETURN;
        END IF;
    ELSE
        -- Closing comes before looking for the do: whatever comes after this is refused.
        INSERT INTO sagabus_barrier.closed_step (saga_id, step, closed_by) VALUES (a_saga_id, a_step, a_command_id)
            ON CONFLICT DO NOTHING;
        IF EXISTS (SELECT 1 FROM sagabus_barrier.command c WHERE c.saga_id = a_saga_id AND c.step = a_step
                   AND c.action = 'undo' AND c.outcome = 'success') THEN
            RETURN QUERY SELECT 'nothing', f.* FROM sagabus_barrier.settle(a_command_id, 'success', NULL, false) f;
            RETURN;
        ELSIF EXISTS (SELECT 1 FROM sagabus_barrier.command c WHERE c.saga_id = a_saga_id AND c.step = a_step
                      AND c.command_id <> a_command_id AND c.outcome IS NULL AND c.lease_until > clock_timestamp()) THEN
            -- Nothing is kept of this delivery, so that it is new when it comes again.
            IF is_new THEN
                DELETE FROM sagabus_barrier.command c WHERE c.command_id = a_command_id;
            END IF;
            RETURN QUERY SELECT 'busy', NULL::text, NULL::text, false, true, NULL::bytea;
            RETURN;
        ELSIF NOT EXISTS (SELECT 1 FROM sagabus_barrier.command c WHERE c.saga_id = a_saga_id AND c.step = a_step
                          AND c.action = 'do' AND (c.outcome IS NULL OR (c.outcome = 'success' AND c.effect))) THEN
            RETURN QUERY SELECT 'nothing', f.* FROM sagabus_barrier.settle(a_command_id, 'success', NULL, false) f;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY SELECT 'run', NULL::text, NULL::text, false, true, NULL::bytea;
END $$;

-- Stores an answer that the barrier itself gives.
CREATE OR REPLACE FUNCTION sagabus_barrier.settle(a_command_id uuid, an_outcome text, a_code text, an_effect boolean)
RETURNS TABLE (outcome text, error_code text, retryable boolean, effect boolean, reply bytea) LANGUAGE sql VOLATILE AS $$
    UPDATE sagabus_barrier.command c
    SET outcome = an_outcome, error_code = a_code, effect = an_effect, reply = '{}', finished_at = clock_timestamp(), lease_until = NULL
    WHERE c.command_id = a_command_id
    RETURNING c.outcome, c.error_code, c.retryable, c.effect, c.reply
$$;

-- Stores the handler's answer, once.
CREATE OR REPLACE FUNCTION sagabus_barrier.finish(
    a_command_id uuid, an_outcome text, a_code text, is_retryable boolean, an_effect boolean, a_reply bytea
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE sagabus_barrier.command c
    SET outcome = an_outcome, error_code = a_code, retryable = is_retryable, effect = an_effect, reply = a_reply,
        finished_at = clock_timestamp(), lease_until = NULL
    WHERE c.command_id = a_command_id AND c.outcome IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'command % has its answer already, or was never begun', a_command_id USING ERRCODE = '55000';
    END IF;
END $$;

-- Deletes what is older than the horizon, a page at a time. Returns how much; call it until it returns 0.
CREATE OR REPLACE FUNCTION sagabus_barrier.forget(horizon interval, page integer) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    WITH old AS (
        SELECT command_id FROM sagabus_barrier.command WHERE finished_at < clock_timestamp() - horizon LIMIT page FOR UPDATE SKIP LOCKED
    ),
    gone AS (DELETE FROM sagabus_barrier.command c USING old WHERE c.command_id = old.command_id RETURNING 1),
    reopened AS (
        DELETE FROM sagabus_barrier.closed_step s WHERE s.closed_at < clock_timestamp() - horizon
        AND (s.saga_id, s.step) IN (SELECT saga_id, step FROM sagabus_barrier.closed_step WHERE closed_at < clock_timestamp() - horizon LIMIT page)
    )
    SELECT count(*) FROM gone
$$;
