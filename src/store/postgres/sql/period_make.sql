-- Makes the table of one period.
SELECT make_period($1, $2, $3)
