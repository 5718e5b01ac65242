-- Drops the table of one period, unless more sagas of it are there than may be moved.
SELECT drop_period($1, $2, $3, $4)
