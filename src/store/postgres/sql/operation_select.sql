-- What became of an operator's action.
SELECT state, message FROM operation WHERE id = $1
