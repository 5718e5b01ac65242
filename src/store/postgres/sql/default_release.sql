-- A default partition takes whatever lies in no period.
SELECT release_default($1)
