-- Plans that ended long ago, or were never applied, with their items.
WITH old AS (
    SELECT number FROM plan WHERE ended_at < $1 OR (state = 'planned' AND valid_until < $1) ORDER BY number LIMIT $2
),
items AS (DELETE FROM plan_item i USING old WHERE i.plan = old.number)
DELETE FROM plan p USING old WHERE p.number = old.number
