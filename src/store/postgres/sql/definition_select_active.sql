-- The active definition of a name.
SELECT d.hash, d.name, d.version, d.body FROM active_definition a JOIN definition d ON d.hash = a.hash WHERE a.name = $1
