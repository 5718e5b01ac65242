-- The clock, and whether this role sees what the sessions of other roles do, if there are any.
SELECT clock_timestamp(), pg_has_role('pg_read_all_stats', 'USAGE') OR NOT EXISTS (
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename <> current_user)
