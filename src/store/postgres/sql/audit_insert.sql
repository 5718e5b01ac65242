-- Tells the audit what was not let through to an engine.
INSERT INTO audit (who, verb, target, reason, outcome, message) VALUES ($1, $2, $3, $4, $5, $6)
