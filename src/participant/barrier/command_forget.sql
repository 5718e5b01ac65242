-- Deletes a page of what is older than the horizon.
SELECT sagabus_barrier.forget($1, $2)
