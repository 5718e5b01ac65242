-- From now on nothing of a range is written to a default partition.
SELECT clear_default($1, $2, $3)
