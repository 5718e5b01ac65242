-- Every definition that was ever deployed, with the open sagas that are pinned to it.
SELECT d.hash, d.name, d.version, a.hash IS NOT NULL,
       (SELECT count(*) FROM saga s WHERE s.definition_hash = d.hash AND s.finished_at IS NULL), d.deployed_at
FROM definition d LEFT JOIN active_definition a ON a.hash = d.hash
ORDER BY d.name, d.version DESC, d.deployed_at DESC LIMIT $1
