-- Deploys definitions, all or none.
SELECT outcome, generation_now FROM deploy($1, $2, $3, $4, $5)
