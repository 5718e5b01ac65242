-- What the start-up check asks of Postgres.
SELECT current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on', current_setting('synchronous_commit') <> 'off',
       pg_is_in_recovery(), current_setting('server_version_num')::int,
       has_table_privilege('journal', 'UPDATE') OR has_table_privilege('journal', 'DELETE'), clock_timestamp()
