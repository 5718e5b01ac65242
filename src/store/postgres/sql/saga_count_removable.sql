-- How many sagas would be removed (remove_sagas).
SELECT count(*) FROM saga s
WHERE s.id < saga_id_at($1) AND s.finished_at < $1 AND s.wake_at IS NULL
  AND s.id NOT IN (SELECT unnest(u.saga_ids) FROM unemitted u)
  AND s.id NOT IN (SELECT o.saga_id FROM operation o WHERE o.state = 'pending')
