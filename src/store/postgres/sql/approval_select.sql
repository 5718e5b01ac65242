-- Above how many sagas somebody else applies a plan.
SELECT minimum_sagas FROM approval
