-- Up to where the journal is settled: no transaction below this number is open. With the clock, and whose history it is: a cluster,
-- and how often it was promoted.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, clock_timestamp(),
       (SELECT system_identifier FROM pg_control_system())::text || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
