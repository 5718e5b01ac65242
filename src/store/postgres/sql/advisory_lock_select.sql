-- Advisory locks in this database that have one number, and who holds them; a session's beginning is told to who may see it.
SELECT (l.classid::bigint << 32) | l.objid::bigint, current_database()::text, l.pid, a.application_name, a.backend_start
FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
ORDER BY l.pid
