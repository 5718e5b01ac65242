-- A writer belongs to the server process at which it registered: after a fail-over that a pooler hides, what it had read may be of commits
-- that the new server lacks, while its own are all there. Every server process has a start of its own.
ALTER TABLE writer ADD COLUMN server_started_at timestamptz NOT NULL DEFAULT pg_postmaster_start_time();
