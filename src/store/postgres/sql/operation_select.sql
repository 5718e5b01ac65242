-- What became of an operator's action.
SELECT state, code, message FROM operation WHERE id = $1
