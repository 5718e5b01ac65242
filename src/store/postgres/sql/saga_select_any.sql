-- True when there is a saga.
SELECT EXISTS (SELECT FROM saga)
