-- What the database has done so far: write-ahead log, transactions, and how rows were updated.
SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS wal_bytes,
       (SELECT wal_sync FROM pg_stat_wal) AS wal_syncs,
       (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS transactions,
       (SELECT coalesce(sum(n_tup_upd), 0)::bigint FROM pg_stat_user_tables) AS updates,
       (SELECT coalesce(sum(n_tup_hot_upd), 0)::bigint FROM pg_stat_user_tables) AS hot_updates,
       (SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables) AS dead_rows
