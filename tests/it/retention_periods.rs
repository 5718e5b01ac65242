//! Periods of the journal: made ahead and dropped beside those who write, on Postgres.

use std::sync::Arc;
use std::time::Duration;

use sagabus::core::{Phase, Sha256, Timestamp, saga_id};
use sagabus::engine::wall_clock;
use sagabus::operations::RetentionOptions;
use sagabus::store::{
    Change, Console, DroppedPeriod, Fence, JournalRow, Keeper, MadePeriod, PostgresStore, RemovalOrder, SagaKey,
    SagaRow, Store, StoreError,
};
use sqlx::Connection as _;
use tokio::time::Instant;

use super::retention::{options, past, retain};
use super::support::database::TestDatabase;

/// A writer of its own, and a saga that begins now.
async fn writer(url: &str) -> (PostgresStore, Fence) {
    let mut store = PostgresStore::new(url).unwrap();
    let registered = store.register(None, None).await.unwrap();
    let fence = Fence { writer: registered.writer, incarnation: registered.incarnation, batch: 0 };
    (store, fence)
}

fn born(number: usize, at: Timestamp) -> Change {
    let key: Arc<str> = format!("new-{number}").into();
    let row = SagaRow {
        id: saga_id("d", &key, at),
        definition_hash: Sha256::of(b"d"),
        definition_name: "d".into(),
        business_key: key,
        phase: Phase::Running,
        started_at: Timestamp::ZERO,
        finished_at: None,
        wake_at: None,
        error: None,
    };
    let journal = vec![JournalRow { saga_id: row.id, seq: 1, facts: b"{}".to_vec() }];
    Change { journal, born: vec![row], ..Change::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_writes_waits_long_for_a_period_to_be_made_or_dropped_behind_a_long_reader() {
    let database = TestDatabase::migrated("retention_reader").await;
    let name = past(&database, 100).await;
    let (mut store, mut fence) = writer(&database.url).await;
    let mut reader = database.connect().await;
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM journal").fetch_one(&mut *reading).await.unwrap();
    let url = database.url.clone();
    let tried = tokio::task::spawn(async move {
        let mut keeper = Keeper::connect(&url).await.unwrap();
        let order = RemovalOrder { ended_before: wall_clock(), who: "ada".into(), reason: "r".into() };
        let mut busy = 0;
        for _ in 0..5 {
            let ahead = wall_clock().plus_millis(10 * 86_400_000);
            let made = keeper.make("journal", ahead, ahead.plus_millis(86_400_000)).await.unwrap();
            let dropped = keeper.drop_period(&name, 1_000, &order).await.unwrap();
            busy += u32::from(made == MadePeriod::Busy) + u32::from(dropped == DroppedPeriod::Busy);
        }
        (keeper, name, order, busy)
    });
    let (mut longest, mut commits) = (Duration::ZERO, 0);
    while !tried.is_finished() {
        let began = Instant::now();
        fence.batch = store.commit(&fence, &born(commits, wall_clock())).await.unwrap().batch;
        longest = longest.max(began.elapsed());
        commits += 1;
    }
    let (mut keeper, name, order, busy) = tried.await.unwrap();
    println!("{commits} commits beside 10 tries, the longest took {longest:?}");
    assert_eq!(busy, 10, "the reader holds what had to be locked");
    assert!(commits > 5 && longest < Duration::from_millis(1_500), "{commits} commits, {longest:?}");
    reading.rollback().await.unwrap();
    database.run(&format!("UPDATE {name} SET at = now() WHERE seq = 1")).await;
    let told = "what is copied counts as new to those who follow the changes";
    assert_eq!(keeper.drop_period(&name, 1_000, &order).await.unwrap(), DroppedPeriod::Kept, "{told}");
    database.run(&format!("UPDATE {name} SET at = now() - interval '1 day' WHERE seq = 1")).await;
    assert_eq!(keeper.drop_period(&name, 1_000, &order).await.unwrap(), DroppedPeriod::Dropped);
    let ahead = wall_clock().plus_millis(10 * 86_400_000);
    assert_eq!(keeper.make("journal", ahead, ahead.plus_millis(86_400_000)).await.unwrap(), MadePeriod::Made);
    assert_eq!(keeper.make("journal", ahead, ahead.plus_millis(86_400_000)).await.unwrap(), MadePeriod::There);
    store.commit(&fence, &born(commits, ahead.plus_millis(1))).await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM journal WHERE tableoid = 'journal_default'::regclass AND at > now() - interval '1 hour'").await, i64::try_from(commits).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_for_long_holds_a_run_up_once_and_not_for_each_period() {
    let database = TestDatabase::migrated("retention_dump").await;
    let old = "date_trunc('day', now()) - n * interval '1 day'";
    let make = format!("SELECT make_period('journal', {old}, {old} + interval '1 day') FROM generate_series(40, 43) n");
    database.run(&make).await;
    retain(&database.url, &options(None, 1_000)).await;
    let mut reader = database.connect().await;
    let mut reading = reader.begin().await.unwrap();
    let lock = "DO $$ DECLARE t regclass; BEGIN \
                FOR t IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'journal'::regclass \
                    AND inhrelid::regclass::text < 'journal_' || to_char(now() - interval '35 days', 'YYYYMMDD') LOOP \
                EXECUTE format('LOCK TABLE %s IN ACCESS SHARE MODE', t); END LOOP; END $$";
    sqlx::raw_sql(lock).execute(&mut *reading).await.unwrap();
    let began = Instant::now();
    let report = retain(&database.url, &options(Some(30), 1_000)).await;
    let outcomes: Vec<&str> = report.periods.iter().map(|over| over.outcome).collect();
    assert_eq!((outcomes, report.busy), (vec!["busy"; 4], 4));
    assert!(began.elapsed() < Duration::from_secs(12), "five tries of one, one of each other: {:?}", began.elapsed());
    reading.rollback().await.unwrap();
    assert!(
        retain(&database.url, &options(Some(30), 1_000)).await.periods.iter().all(|over| over.outcome == "dropped")
    );
}

/// Of yesterday, so that it must be proven to hold nothing of the days to come.
async fn large_default(database: &TestDatabase) {
    // The columns are written as they are: 2,000 bytes that do not compress stay in the table.
    database
        .run(
            "ALTER TABLE journal_default ALTER facts SET STORAGE PLAIN; \
             INSERT INTO journal SELECT overlay(saga_id_at(now() - interval '1 day')::text PLACING lpad(to_hex(n), 12, '0') FROM 25)::uuid, \
                 1, now(), 1, decode(repeat(md5(n::text), 120), 'hex') FROM generate_series(1, 12000) n",
        )
        .await;
}

/// Periods of about a day, of which the present one ends in so many minutes, whatever time of day it is.
fn periods_of_which_one_ends_in(minutes: u64) -> RetentionOptions {
    let end = wall_clock().plus_millis(minutes * 60_000).millis_since(Timestamp::ZERO);
    let days = end / 86_400_000;
    RetentionOptions { period: Duration::from_millis(end / days), ..options(None, 1) }
}

#[tokio::test]
async fn a_large_default_partition_is_not_looked_through_while_others_wait() {
    let database = TestDatabase::migrated("retention_large").await;
    let (mut store, mut fence) = writer(&database.url).await;
    large_default(&database).await;
    let tomorrow = wall_clock().plus_millis(2 * 86_400_000);
    let mut keeper = Keeper::connect(&database.url).await.unwrap();
    let day = (tomorrow, tomorrow.plus_millis(86_400_000));
    assert_eq!(keeper.make("journal", day.0, day.1).await.unwrap(), MadePeriod::Large);
    assert!(keeper.clear_default("journal", day.0, day.1).await.unwrap());
    // Somebody is killed here. What lies in the range is tried again and again, the rest goes on.
    let blocked = store.commit(&fence, &born(0, day.0.plus_millis(1))).await;
    assert!(matches!(blocked, Err(StoreError::Contention(_))), "{blocked:?}");
    fence.batch = store.commit(&fence, &born(1, wall_clock())).await.unwrap().batch;
    let report = retain(&database.url, &periods_of_which_one_ends_in(12 * 60)).await;
    assert_eq!(
        (report.made, report.occupied, report.busy),
        (9, 1, 0),
        "the day of today lies in the default partition"
    );
    store.commit(&fence, &born(0, day.0.plus_millis(1))).await.unwrap();
    let left = "SELECT count(*) FROM pg_constraint WHERE conname LIKE '%is_cleared'";
    assert_eq!(database.count(left).await, 0);
    assert_eq!(
        database
            .count(
                "SELECT count(*) FROM journal WHERE seq = 1 AND facts = '{}' AND tableoid = 'journal_default'::regclass"
            )
            .await,
        1
    );
}

#[tokio::test]
async fn a_period_that_begins_before_a_proof_could_end_is_not_closed_for_one() {
    let database = TestDatabase::migrated("retention_near").await;
    let (mut store, fence) = writer(&database.url).await;
    large_default(&database).await;
    store.commit(&fence, &born(0, wall_clock())).await.unwrap();
    let report = retain(&database.url, &periods_of_which_one_ends_in(20)).await;
    let told = "the present one and the next stay in the default partition of the journal";
    assert_eq!((report.made, report.occupied, report.busy), (8, 2, 0), "{told}");
}

#[tokio::test]
async fn a_day_that_cannot_be_proven_free_leaves_the_others_their_tables_and_nothing_closed() {
    let database = TestDatabase::migrated("retention_unproven").await;
    let (mut store, mut fence) = writer(&database.url).await;
    large_default(&database).await;
    let in_days = |days: u64| wall_clock().plus_millis(days * 86_400_000);
    // A trigger with a timestamp three days ahead.
    fence.batch = store.commit(&fence, &born(0, in_days(3))).await.unwrap().batch;
    for _ in 0..2 {
        let report = retain(&database.url, &periods_of_which_one_ends_in(12 * 60)).await;
        assert_eq!((report.occupied, report.busy), (2, 0), "today and that day lie in the default partition");
        let left = "SELECT count(*) FROM pg_constraint WHERE conname LIKE '%is_cleared'";
        assert_eq!(database.count(left).await, 0);
    }
    for days in [1, 2, 3, 4, 9] {
        let number = usize::try_from(days).unwrap();
        fence.batch = store.commit(&fence, &born(number, in_days(days))).await.unwrap().batch;
    }
}

#[tokio::test]
async fn what_shorter_periods_leave_of_a_day_is_made_as_one() {
    let database = TestDatabase::migrated("retention_hours").await;
    let mut keeper = Keeper::connect(&database.url).await.unwrap();
    let hour = |number: u64| {
        Timestamp::from_millis(1_900_000_000_000 / 86_400_000 * 86_400_000).plus_millis(number * 3_600_000)
    };
    for number in 0..3 {
        assert_eq!(keeper.make("journal", hour(number), hour(number + 1)).await.unwrap(), MadePeriod::Made);
    }
    assert_eq!(keeper.make("journal", hour(0), hour(24)).await.unwrap(), MadePeriod::Made);
    assert_eq!(keeper.make("journal", hour(0), hour(24)).await.unwrap(), MadePeriod::There);
    let console = Console::connect(&database.url).await.unwrap();
    let rest = console.periods().await.unwrap().into_iter().find(|period| period.from == Some(hour(3))).unwrap();
    assert_eq!(rest.to, Some(hour(24)));
}

#[tokio::test]
async fn with_many_periods_a_saga_is_read_and_written_in_its_own() {
    let database = TestDatabase::migrated("retention_pruned").await;
    let day = "(date_trunc('day', now()) - n * interval '1 day')";
    database
        .run(&format!("SELECT make_period('journal', {day}, {day} + interval '1 day') FROM generate_series(-3, 60) n"))
        .await;
    let (mut store, mut fence) = writer(&database.url).await;
    let scans = "SELECT coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0)::bigint FROM pg_stat_user_tables WHERE relname LIKE 'journal%'";
    let whole = "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname LIKE 'journal%'";
    let first = born(0, wall_clock());
    let id = first.journal[0].saga_id;
    fence.batch = store.commit(&fence, &first).await.unwrap().batch;
    // A session tells its counts when it ends: only the store's is there when nobody tells anything any more.
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while database.count(others).await > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = (database.count(scans).await, database.count(whole).await);
    for seq in 2..22 {
        assert_eq!(store.load(&[SagaKey::Id(id)]).await.unwrap()[0].journal.len(), seq - 1);
        let row = JournalRow { saga_id: id, seq: u32::try_from(seq).unwrap(), facts: b"{}".to_vec() };
        fence.batch = store.commit(&fence, &Change { journal: vec![row], ..Change::default() }).await.unwrap().batch;
    }
    store.register(None, None).await.unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    while database.count(scans).await < before.0 + 20 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let after = (database.count(scans).await, database.count(whole).await);
    assert_eq!(after.1, before.1, "no table is read from end to end");
    assert_eq!(after.0 - before.0, 20, "20 sagas are read from one of 65 tables each");
}
