-- The number of the next plan.
SELECT nextval('plan_number')
