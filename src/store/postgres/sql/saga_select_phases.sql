-- Where sagas stand: those with these ids, and those with these business keys.
SELECT id, definition_name, business_key, phase FROM saga WHERE id = ANY($1)
UNION ALL
SELECT s.id, s.definition_name, s.business_key, s.phase
FROM unnest($2::text[], $3::text[]) AS k(name, key) JOIN saga s ON s.definition_name = k.name AND s.business_key = k.key
