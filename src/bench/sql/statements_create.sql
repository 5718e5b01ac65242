-- Counts statements, where the server was started with the library.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements
