-- Journal rows have no names in them from here on (src/core/fact.rs), which makes them a quarter smaller. Rows of builds before that cannot be read
-- by this one, so they are not left lying: `sagabus replay export` with the build that wrote them, and `replay import` here.
SELECT must(NOT EXISTS (SELECT FROM journal), 'SG009',
    'the journal holds rows of an older build: run replay export with that one, and replay import into a database that this one has migrated');
