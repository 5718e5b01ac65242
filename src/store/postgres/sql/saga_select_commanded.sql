-- Sagas whose commands' ids begin so: with the digest of the saga's id (core/ids.rs), as the index has it.
SELECT id FROM saga WHERE substring(sha256(uuid_send(id)) FROM 1 FOR 6) = $1 LIMIT 10
