-- Bytes of a default partition, without its indexes.
SELECT pg_relation_size(to_regclass($1 || '_default'))
