-- The definitions that start sagas.
SELECT d.hash, d.name, d.version, d.body FROM active_definition a JOIN definition d ON d.hash = a.hash ORDER BY d.name
