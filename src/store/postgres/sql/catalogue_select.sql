-- The generation of the active definitions.
SELECT generation FROM catalogue
