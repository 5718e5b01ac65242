-- How many records wait for a person, and the oldest of them.
SELECT topic || '/' || partition || '@' || "offset", key, what, count(*) OVER () FROM parked_open ORDER BY id LIMIT $1
