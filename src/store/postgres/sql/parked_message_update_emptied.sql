-- Records put aside long ago and dealt with lose their content. Their places and reasons stay: the verdicts are counted by them.
UPDATE parked_message SET value = NULL, headers = '[]', is_whole = false WHERE id IN (
    SELECT p.id FROM parked_message p
    WHERE p.state <> 'parked' AND p.parked_at < $1 AND (p.value IS NOT NULL OR p.headers <> '[]') ORDER BY p.id LIMIT $2)
