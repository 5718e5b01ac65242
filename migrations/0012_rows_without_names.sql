-- Journal rows have no names in them from here on (src/core/fact.rs), which makes them a quarter smaller. This build cannot read rows of builds before
-- it, and those cannot read its own, so neither is left to find them: `sagabus replay export --reveal` with the build that wrote them, and
-- `replay import` here. What is not a saga's own (offsets, parked messages, holds, tokens) does not come along.
SELECT must(NOT EXISTS (SELECT FROM journal), 'SG009',
    'the journal holds rows of an older build: run replay export --reveal with that one, and replay import into a database that this one has migrated');
SELECT must(NOT EXISTS (SELECT FROM writer WHERE heartbeat_at > clock_timestamp() - interval '1 minute'), 'SG009',
    'an engine of an older build runs: stop it, and migrate a minute later');
COMMENT ON COLUMN journal.facts IS 'src/core/fact.rs says how they are stored; sagabus show reads them';
