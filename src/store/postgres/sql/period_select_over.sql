-- Tables of periods that were over at this moment, the oldest first, with how many sagas of them are there (at most so many are counted) and the
-- oldest of these.
SELECT p.name, moment_of(p.from_id), moment_of(p.to_id),
       (SELECT count(*) FROM (SELECT FROM saga s WHERE s.id >= p.from_id AND s.id < p.to_id LIMIT $2) AS counted),
       o.id, o.business_key, o.phase
FROM period p
LEFT JOIN LATERAL (SELECT s.id, s.business_key, s.phase FROM saga s WHERE s.id >= p.from_id AND s.id < p.to_id ORDER BY s.id LIMIT 1) AS o ON true
WHERE p.to_id <= saga_id_at($1) ORDER BY p.from_id, p.parent
