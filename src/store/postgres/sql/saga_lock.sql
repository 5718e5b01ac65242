-- Nobody begins a saga before the transaction ends.
LOCK TABLE saga IN SHARE ROW EXCLUSIVE MODE
