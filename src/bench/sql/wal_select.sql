-- Bytes of write-ahead log since the cluster was made.
SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint
