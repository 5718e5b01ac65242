-- Registers a writer. A process keeps its age over re-registrations.
INSERT INTO writer (instance, age, incarnation, heeds_holds) VALUES ($1, coalesce($2, nextval('writer_age')), gen_random_uuid(), true)
RETURNING id, incarnation, age, (SELECT generation FROM catalogue), clock_timestamp(), pg_is_in_recovery()
