-- The definitions that start sagas, and those that sagas are pinned to which are open or have something to come.
SELECT (SELECT generation FROM catalogue), d.hash, d.name, d.version, d.body, a.hash IS NOT NULL AS is_active
FROM (SELECT hash FROM active_definition
      UNION SELECT definition_hash FROM saga WHERE finished_at IS NULL
      UNION SELECT definition_hash FROM saga WHERE wake_at IS NOT NULL AND finished_at IS NOT NULL) AS used
JOIN definition d ON d.hash = used.hash
LEFT JOIN active_definition a ON a.hash = d.hash
ORDER BY d.name, d.version
