-- Who may ask over HTTP, the chain that shows whether the audit was changed afterwards, and what finds changes by their time.

-- Tokens. Only the SHA-256 of one is kept: 256 random bits need no salt and no slow hash. Rows are never deleted, so that a name in
-- the audit stays somebody's.
CREATE TABLE token (
    hash bytea PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL,
    definitions text[],                              -- the definitions that it is for; null: all
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT token_hash_is_sha256 CHECK (octet_length(hash) = 32),
    CONSTRAINT token_name_is_unique UNIQUE (name),
    CONSTRAINT token_name_is_a_word CHECK (name ~ '^[A-Za-z0-9._@-]{1,64}$'),
    CONSTRAINT token_role_is_known CHECK (role IN ('viewer', 'operator', 'approver', 'admin')),
    CONSTRAINT token_is_for_something CHECK (cardinality(definitions) > 0)
);

-- The hash chain over the audit. Rows get their places afterwards, when no transaction that began before them is open any more, so
-- that nobody who writes to the audit waits for the chain.
CREATE TABLE audit_seal (
    place bigint PRIMARY KEY,                        -- from 1, without holes
    audit_id bigint NOT NULL,
    hash bytea NOT NULL,                             -- of the hash before it and of the row
    sealed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT audit_seal_row_is_sealed_once UNIQUE (audit_id),
    CONSTRAINT audit_seal_place_is_positive CHECK (place > 0),
    CONSTRAINT audit_seal_hash_is_sha256 CHECK (octet_length(hash) = 32)
);

-- Against mistakes, not against who owns the tables: what is written here stays as it is.
CREATE FUNCTION stays_as_written() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'SG008'; END $$;
CREATE TRIGGER audit_stays_as_written BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION stays_as_written();
CREATE TRIGGER audit_seal_stays_as_written BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seal
    FOR EACH STATEMENT EXECUTE FUNCTION stays_as_written();

-- Changes are found by their time. The journal is written in the order of time, so a few words for each MiB of it are enough, and an
-- insert does not search a tree.
CREATE INDEX journal_at ON journal USING brin (at) WITH (autosummarize = on);
