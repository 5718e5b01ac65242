-- Takeover, second statement, on a new snapshot: the taker, who may be a zombie itself, becomes the owner.
WITH fence AS (
    UPDATE writer SET heartbeat_at = clock_timestamp()
    WHERE id = $1 AND incarnation = $2 AND batch = $3 AND server_started_at = pg_postmaster_start_time() RETURNING 1
),
g1 AS MATERIALIZED (SELECT must((SELECT count(*) FROM fence) = 1, 'SG001', 'fenced') AS ok)
UPDATE unemitted SET owner = $1 WHERE owner = $4 AND (SELECT ok FROM g1) RETURNING writer_id, batch, saga_ids, seqs
