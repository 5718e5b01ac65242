-- Adds to the chain, all or nothing: whoever was first at a place has it.
INSERT INTO audit_seal (place, audit_id, hash) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])
