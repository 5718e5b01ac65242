-- The tables of journals and traces by their periods, the oldest first and the default partitions in front: rows as they were counted last,
-- bytes, and for journals the sagas that have not ended.
WITH known AS MATERIALIZED (SELECT * FROM period),
low AS (SELECT array_agg(from_id ORDER BY from_id) AS ids FROM known WHERE parent = 'journal' AND from_id IS NOT NULL),
open AS (
    -- Each in the period that begins last in front of it, if that does not end before.
    SELECT CASE WHEN s.id < k.to_id THEN k.name ELSE 'journal_default' END AS part, s.id, s.business_key
    FROM low CROSS JOIN saga s LEFT JOIN known k ON k.parent = 'journal' AND k.from_id = low.ids[width_bucket(s.id, low.ids)]
    WHERE s.finished_at IS NULL
),
oldest AS (
    SELECT DISTINCT ON (part) part, count(*) OVER (PARTITION BY part) AS sagas, id, business_key FROM open ORDER BY part, id
)
SELECT k.parent, k.name, moment_of(k.from_id), moment_of(k.to_id), c.reltuples::bigint, pg_total_relation_size(k.relation),
       coalesce(o.sagas, 0), o.id, o.business_key
FROM known k JOIN pg_class c ON c.oid = k.relation LEFT JOIN oldest o ON o.part = k.name
ORDER BY k.parent, k.from_id NULLS FIRST
