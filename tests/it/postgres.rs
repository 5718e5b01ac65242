//! What only a real Postgres can show: schema versions, plans, locks, crashes of statements in flight.

use std::sync::Arc;

use sagabus::core::{Phase, Sha256, Timestamp, saga_id};
use sagabus::store::{
    Advance, Change, Fence, JournalRow, MigrateError, NewPartition, PostgresStore, SagaRow, Store, StoreError,
    check_schema, migrate,
};

use super::support::database::TestDatabase;

#[tokio::test]
async fn a_schema_that_is_older_or_newer_is_refused() {
    let database = TestDatabase::empty("schema_versions").await;
    assert!(matches!(check_schema(&database.url).await, Err(MigrateError::Older { found: 0, .. })));
    migrate(&database.url).await.unwrap();
    migrate(&database.url).await.unwrap();
    check_schema(&database.url).await.unwrap();
    database
        .run("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', true, '', 0)")
        .await;
    assert!(matches!(check_schema(&database.url).await, Err(MigrateError::Newer { found: 9999, .. })));
}

#[tokio::test]
async fn a_schema_whose_newest_migration_was_not_ended_is_refused() {
    let database = TestDatabase::empty("schema_unfinished").await;
    migrate(&database.url).await.unwrap();
    database
        .run("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', false, '', 0)")
        .await;
    assert!(matches!(check_schema(&database.url).await, Err(MigrateError::Unfinished { version: 9999 })));
}

fn born(n: usize, lane: &str) -> (JournalRow, SagaRow) {
    let key = format!("{lane}-{n}");
    let id = saga_id("d", &key, Timestamp::from_millis(1_700_000_000_000));
    let row = SagaRow {
        id,
        definition_hash: Sha256::of(b"d"),
        definition_name: "d".into(),
        business_key: key.into(),
        phase: Phase::Running,
        started_at: Timestamp::ZERO,
        finished_at: None,
        wake_at: None,
        error: None,
    };
    (JournalRow { saga_id: id, seq: 1, facts: b"{}".to_vec() }, row)
}

/// Four writers that all own everything, with takeovers: no deadlock, and what was committed is there exactly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_writers_neither_deadlocks_nor_loses_nor_doubles() {
    let database = Arc::new(TestDatabase::migrated("storm").await);
    let partition: (Arc<str>, i32) = ("t".into(), 0);
    let mut first = PostgresStore::new(&database.url).unwrap();
    first.register(None, None).await.unwrap();
    first.add_partitions(&[NewPartition { partition: partition.clone(), first_offset: 0 }]).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for lane in 0..4_usize {
        let database = Arc::clone(&database);
        let partition = partition.clone();
        writers.spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(storm_lane(&database, &partition, lane))
        });
    }
    let (mut committed, mut refused) = (0, 0);
    while let Some(lane) = writers.join_next().await {
        let (done, not) = lane.unwrap();
        committed += done;
        refused += not;
    }
    assert!(committed > 100 && refused > 10, "{committed} committed, {refused} refused: the storm blew");
    let moved = database.count("SELECT next_offset FROM input_offset").await;
    assert_eq!(moved, committed, "each commit moved the offset by one");
    assert_eq!(database.count("SELECT count(*) FROM journal").await, committed * 3);
    assert_eq!(database.count("SELECT count(*) FROM unemitted").await, committed);
    println!("{committed} commits, {refused} refusals");
}

async fn storm_lane(database: &TestDatabase, partition: &(Arc<str>, i32), lane: usize) -> (i64, i64) {
    let mut store = PostgresStore::new(&database.url).unwrap();
    let (mut committed, mut refused) = (0, 0);
    let mut fence = Fence::default();
    for turn in 0..200_usize {
        if fence.writer == 0 || turn % 37 == lane {
            let registered = store.register(None, None).await.unwrap();
            fence = Fence { writer: registered.writer, incarnation: registered.incarnation, batch: 0 };
            // A writer is taken over while it may have a statement in flight.
            if let Some(peer) =
                store.dead_writers(0, None, &fence).await.unwrap().into_iter().find(|peer| peer.writer % 3 == 0)
            {
                store.take_over(&fence, &peer).await.unwrap();
            }
        }
        let next = store.offsets(std::slice::from_ref(partition)).await.unwrap()[0].next_offset;
        // Every lane begins the same sagas: whoever is second at an offset must leave nothing behind.
        let rows = (0..3).map(|part| born(usize::try_from(next).unwrap() * 3 + part, "s"));
        let (journal, sagas): (Vec<_>, Vec<_>) = rows.unzip();
        let advance = Advance {
            topic: "t".into(),
            partition: 0,
            from: next,
            to: next + 1,
            gaps: 0,
            counts: [1, 0, 0, 0, 0, 0, 0],
        };
        let emitting = journal.iter().map(|row| (row.saga_id, 1)).collect();
        let change = Change { partitions: vec![advance], journal, born: sagas, emitting, ..Change::default() };
        match store.commit(&fence, &change).await {
            Ok(receipt) => {
                fence.batch = receipt.batch;
                committed += 1;
            }
            Err(StoreError::OffsetMoved | StoreError::SagaRaced) => refused += 1,
            Err(StoreError::Fenced) => {
                refused += 1;
                fence = Fence::default();
            }
            Err(error) => panic!("{error}"),
        }
    }
    (committed, refused)
}

#[tokio::test]
async fn the_batch_statement_never_scans_a_table_whole() {
    let database = TestDatabase::migrated("plans").await;
    let mut store = PostgresStore::new(&database.url).unwrap();
    let registered = store.register(None, None).await.unwrap();
    let mut fence = Fence { writer: registered.writer, incarnation: registered.incarnation, batch: 0 };
    for batch in 0..5_usize {
        let (journal, sagas): (Vec<_>, Vec<_>) = (0..100).map(|n| born(batch * 100 + n, "p")).unzip();
        let change = Change { journal, born: sagas, ..Change::default() };
        fence.batch = store.commit(&fence, &change).await.unwrap().batch;
    }
    let before = database.count("SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname IN ('saga', 'journal_default')").await;
    for n in 0..20_usize {
        let (row, saga) = born(n, "p");
        let update = sagabus::store::SagaUpdate {
            id: saga.id,
            phase: Phase::Stuck,
            finished_at: None,
            wake_at: None,
            error: None,
        };
        let change = Change { journal: vec![JournalRow { seq: 2, ..row }], turned: vec![update], ..Change::default() };
        fence.batch = store.commit(&fence, &change).await.unwrap().batch;
    }
    database.run("SELECT pg_stat_force_next_flush()").await;
    let after = database.count("SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname IN ('saga', 'journal_default')").await;
    assert_eq!(after, before, "no statement of the batch reads saga or journal from end to end");
}

/// Open sagas are few among those that are stored, and the first ones that are looked for.
#[tokio::test]
async fn rows_of_an_older_build_and_its_engines_are_not_left_to_a_newer_one() {
    let database = TestDatabase::migrated("older_rows").await;
    let refused = async || {
        let error = migrate(&database.url).await.expect_err("it is refused");
        let mut source: Option<&dyn std::error::Error> = Some(&error);
        std::iter::from_fn(|| source.inspect(|error| source = error.source()))
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ")
    };
    database.run("DELETE FROM _sqlx_migrations WHERE version >= 12").await;
    database
        .run("INSERT INTO journal (saga_id, seq, at, writer, facts) VALUES (gen_random_uuid(), 1, now(), 1, '\\x92')")
        .await;
    assert!(refused().await.contains("replay export --reveal"), "{}", refused().await);
    database.run("DELETE FROM journal; INSERT INTO writer (age, incarnation) VALUES (1, gen_random_uuid())").await;
    assert!(refused().await.contains("an engine of an older build runs"), "{}", refused().await);
    database.run("UPDATE writer SET heartbeat_at = now() - interval '2 minutes'").await;
    migrate(&database.url).await.expect("nothing is in its way");
}

#[tokio::test]
async fn a_list_of_open_sagas_reads_none_that_has_ended() {
    let database = TestDatabase::migrated("open_list").await;
    let stored = "INSERT INTO saga (id, definition_hash, definition_name, business_key, phase, started_at, finished_at) \
        SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, sha256('d'), 'd', n::text, CASE WHEN n < 5 THEN 2 ELSE 4 END, \
        now(), CASE WHEN n < 5 THEN NULL ELSE now() END FROM generate_series(1, 30000) AS n; ANALYZE saga";
    database.run(stored).await;
    let mut connection = database.connect().await;
    let list = include_str!("../../src/store/postgres/sql/saga_select_list_open.sql");
    let prepared = format!("PREPARE list AS {list}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepared)).execute(&mut connection).await.unwrap();
    let asked = "EXPLAIN EXECUTE list(2, NULL, NULL, NULL, NULL, NULL, 101, NULL, \
        'ffffffff-ffff-ffff-ffff-ffffffffffff', '00000000-0000-0000-0000-000000000000')";
    let plan: Vec<(String,)> = sqlx::query_as(asked).persistent(false).fetch_all(&mut connection).await.unwrap();
    let plan = plan.into_iter().map(|(line,)| line).collect::<Vec<_>>().join("\n");
    assert!(plan.contains("saga_open_by_definition"), "{plan}");
}
