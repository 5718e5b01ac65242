-- Open sagas that are stuck (2) or in which something went wrong, newest first, a page.
SELECT id FROM saga WHERE finished_at IS NULL AND (phase = 2 OR error IS NOT NULL) AND id < $1 ORDER BY id DESC LIMIT $2
