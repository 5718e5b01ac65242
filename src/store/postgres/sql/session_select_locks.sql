-- Sessions of this database that wait for another one, those that they wait for, and those that are idle within a transaction for longer than $1
-- milliseconds. Of a session that is another role's Postgres tells who is not pg_read_all_stats little more than that it is there; of one of another database its statement is nobody's business here.
WITH waiting AS MATERIALIZED (
    -- Who waits for the end of a transaction over a row holds a lock on that row's place, which names the table.
    SELECT DISTINCT ON (l.pid) l.pid, l.locktype, l.mode, coalesce(l.relation, t.relation)::regclass::text AS relation,
           coalesce(l.waitstart, a.query_start) AS since, pg_blocking_pids(l.pid) AS blockers
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid AND a.datname = current_database()
    LEFT JOIN pg_locks t ON t.pid = l.pid AND t.locktype = 'tuple' AND t.granted
    WHERE NOT l.granted
    ORDER BY l.pid, t.relation
)
SELECT a.pid, a.usename::text AS role, coalesce(nullif(a.application_name, ''), a.backend_type) AS application, a.state, a.state_change,
       a.xact_start, CASE WHEN a.datname = current_database() THEN a.query END AS query, w.locktype, w.mode, w.relation, w.since, w.blockers
FROM pg_stat_activity a LEFT JOIN waiting w ON w.pid = a.pid
WHERE w.pid IS NOT NULL OR a.pid IN (SELECT unnest(blockers) FROM waiting)
   OR (a.datname = current_database() AND a.state LIKE 'idle in transaction%'
       AND a.state_change < clock_timestamp() - $1 * interval '1 millisecond')
ORDER BY w.since, a.xact_start, a.pid
