-- Sagas by definition and phase.
SELECT definition_name, phase, count(*) FROM saga GROUP BY definition_name, phase
