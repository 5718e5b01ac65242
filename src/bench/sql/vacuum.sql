-- What autovacuum would do sooner or later, so that it is not measured.
VACUUM ANALYZE
