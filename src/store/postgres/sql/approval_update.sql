-- Changes above how many sagas somebody else applies a plan; audited.
WITH changed AS (
    UPDATE approval a SET minimum_sagas = $1 FROM (SELECT minimum_sagas FROM approval) AS before
    RETURNING before.minimum_sagas AS before, a.minimum_sagas AS after
)
INSERT INTO audit (who, verb, target, reason, outcome, message)
SELECT $2, 'approval', 'plans', $3, 'decided', format('minimum %s -> %s sagas', before, after) FROM changed
