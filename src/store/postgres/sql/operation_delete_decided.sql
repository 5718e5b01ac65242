-- Actions that were decided long ago: the journal and the audit have them. Those of a plan go after it, since they say what became of it.
DELETE FROM operation WHERE id IN (
    SELECT o.id FROM operation o
    WHERE o.decided_at < $1 AND NOT EXISTS (SELECT FROM plan_item i WHERE i.operation_id = o.id) LIMIT $2)
