-- A plan exists for who may see every saga of it: its definitions are kept with it, so that a list of plans reads no items.
ALTER TABLE plan ADD COLUMN definitions text[] NOT NULL DEFAULT '{}';
UPDATE plan p SET definitions =
    (SELECT coalesce(array_agg(DISTINCT s.definition_name ORDER BY s.definition_name), '{}')
     FROM plan_item i JOIN saga s ON s.id = i.saga_id WHERE i.plan = p.number);
