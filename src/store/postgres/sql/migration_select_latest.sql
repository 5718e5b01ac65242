-- The newest migration that was applied, and the first one that was begun and not applied to its end.
SELECT coalesce(max(version) FILTER (WHERE success), 0), min(version) FILTER (WHERE NOT success) FROM _sqlx_migrations
