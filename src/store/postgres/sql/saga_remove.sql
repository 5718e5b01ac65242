-- Looks at the next sagas, and removes those that ended long ago.
SELECT looked_at, removed, last FROM remove_sagas($1, $2, $3, $4, $5, $6)
