-- Writers that nobody runs any more: silent, or former registrations of this process, or of an older one of this name. One that
-- was taken over counts while it owns something.
SELECT w.id, w.incarnation FROM writer w JOIN writer own ON own.id = $1
WHERE w.id <> own.id
  AND (w.heartbeat_at < clock_timestamp() - $2 * interval '1 millisecond'
       OR w.age = own.age OR (w.instance = $3 AND w.age < own.age))
  AND (NOT w.taken_over OR EXISTS (SELECT 1 FROM unemitted WHERE owner = w.id))
ORDER BY w.id
