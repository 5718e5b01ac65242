-- The generation of the definitions and holds in force, and the one at which something was released last.
SELECT generation, released_generation FROM catalogue
