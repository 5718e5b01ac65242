-- The tables of journals and traces by their periods, the oldest first and the default partitions in front: rows as they were counted last,
-- bytes, and for journals the sagas that have not ended.
WITH low AS (SELECT array_agg(from_id ORDER BY from_id) AS ids FROM period WHERE parent = 'journal' AND from_id IS NOT NULL),
open AS (
    -- The period that begins last in front of it, if it does not end before.
    SELECT (SELECT p.name FROM period p WHERE p.parent = 'journal' AND p.from_id = low.ids[width_bucket(s.id, low.ids)] AND s.id < p.to_id) AS name,
           s.id, s.business_key
    FROM low CROSS JOIN saga s WHERE s.finished_at IS NULL
),
oldest AS (
    SELECT DISTINCT ON (name) coalesce(name, 'journal_default') AS name, count(*) OVER (PARTITION BY name) AS sagas, id, business_key
    FROM open ORDER BY name, id
)
SELECT p.parent, p.name, moment_of(p.from_id), moment_of(p.to_id), c.reltuples::bigint, pg_total_relation_size(p.relation),
       coalesce(o.sagas, 0), o.id, o.business_key
FROM period p JOIN pg_class c ON c.oid = p.relation LEFT JOIN oldest o ON o.name = p.name
ORDER BY p.parent, p.from_id NULLS FIRST
