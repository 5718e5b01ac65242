-- Which of these sagas have something to send by any writer.
SELECT DISTINCT d.id FROM unemitted u, unnest(u.saga_ids) AS d(id) WHERE d.id = ANY($1)
