-- Writers that nobody runs any more: silent, or older registrations of this name. One that was taken over counts while it owns something.
SELECT id, incarnation FROM writer w
WHERE id <> $1
  AND (heartbeat_at < clock_timestamp() - $2 * interval '1 millisecond'
       OR (instance = $3 AND age <= (SELECT age FROM writer WHERE id = $1)))
  AND (NOT taken_over OR EXISTS (SELECT 1 FROM unemitted WHERE owner = w.id))
ORDER BY id
