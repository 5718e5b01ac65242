//! Retention on a real Postgres: beside engines at work, killed half-way, against long readers, and what engines make of a saga that is gone.
//! Long ago is made by a clock of the database that a test sets back.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sagabus::cli::render;
use sagabus::core::{Answer, Json, Outcome, Phase, Sha256, Timestamp, saga_id};
use sagabus::definition::{Compiled, Source};
use sagabus::engine::{SystemClock, wall_clock};
use sagabus::operations::{
    self, Check, Moment, OldestKept, OverJson, PeriodJson, RetentionOptions, RetentionReport, TimeFormat, Times,
};
use sagabus::store::{
    Change, Console, DroppedPeriod, Fence, JournalRow, Keeper, MadePeriod, PostgresStore, RemovalOrder, SagaKey,
    SagaRow, Store, StoreError,
};
use sagabus::wire::{self, Received};
use sqlx::Connection as _;
use tokio::time::Instant;

use super::cli::{code, error, out, sagabus};
use super::console::golden;
use super::support::database::TestDatabase;
use super::support::participants::Behaviour;
use super::support::world::{World, row_of};
use super::verify::{Busy, count, mixed};

const DAY: Duration = Duration::from_secs(86_400);

/// From here on the database believes that it is 40 days ago, on connections that are made from now on.
async fn set_back(database: &TestDatabase) {
    let (_, name) = database.url.rsplit_once('/').unwrap();
    database
        .run(&format!(
            "CREATE TABLE set_back (by interval); INSERT INTO set_back VALUES ('40 days'); \
             CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS \
             'SELECT pg_catalog.clock_timestamp() - (SELECT by FROM public.set_back)'; \
             ALTER DATABASE {name} SET search_path = public, pg_catalog"
        ))
        .await;
}

async fn let_time_pass(database: &TestDatabase) {
    database.run("UPDATE set_back SET by = '0'").await;
}

fn then() -> Timestamp {
    Timestamp::from_micros(wall_clock().micros() - 40 * 86_400_000_000)
}

fn options(keep_days: Option<u32>, rate: u32) -> RetentionOptions {
    let (who, reason) = ("ada".to_owned(), "test".to_owned());
    RetentionOptions { keep: keep_days.map(|days| DAY * days), period: DAY, rate, who, reason }
}

async fn retain(url: &str, options: &RetentionOptions) -> RetentionReport {
    let console = Console::connect(url).await.unwrap();
    let mut keeper = Keeper::connect(url).await.unwrap();
    operations::retain(&mut keeper, &console, options, |_, _| {}).await.unwrap().unwrap()
}

/// Looks for broken journals again and again until it is told to stop. Returns how often.
async fn look_again_and_again(url: String, stop: Arc<AtomicBool>) -> usize {
    let console = Console::read_only(&url, None).await.unwrap();
    let mut times = 0;
    while !stop.load(Ordering::Relaxed) {
        let report = operations::verify(&console, None, 5, |_| {}).await.unwrap();
        for check in [Check::JournalGaps, Check::FoldDifferences, Check::CompensationOrderViolations] {
            assert_eq!(count(&report, check), 0, "a false alarm: {:#?}", report.checks);
        }
        times += 1;
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_long_ago_goes_beside_engines_at_work_and_what_is_open_stays_whole() {
    let mut busy = Busy::start("retention_busy", mixed()).await;
    set_back(&busy.database).await;
    let url = busy.database.url.clone();
    let made = retain(&url, &options(None, 1)).await;
    assert_eq!((made.made, made.occupied, made.busy), (10, 0, 0), "five periods of two tables");
    busy.world.broker.set_now(then());
    (0..60).for_each(|number| busy.trigger(&format!("old-{number}")));
    let ended = "SELECT count(*) FROM saga WHERE finished_at IS NOT NULL";
    let until = Instant::now() + Duration::from_secs(30);
    while busy.database.count(ended).await < 42 {
        assert!(Instant::now() < until, "{} of 42 sagas have ended", busy.database.count(ended).await);
        busy.world.turn(then()).await;
    }
    assert_eq!(busy.database.count("SELECT count(*) FROM journal_default").await, 0, "all lie in their period");
    let removable = busy.database.count(ended).await;
    let_time_pass(&busy.database).await;

    let mut peer = busy.peer();
    let stop = Arc::new(AtomicBool::new(false));
    let looking = tokio::task::spawn(look_again_and_again(url.clone(), Arc::clone(&stop)));
    let retaining = tokio::task::spawn(async move { retain(&url, &options(Some(30), 20)).await });
    let mut number = 0;
    while !retaining.is_finished() || number < 100 {
        number += 1;
        busy.trigger(&format!("new-{number}"));
        busy.turn().await;
        peer.step(&busy.world.stop).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let (report, looked) = (retaining.await.unwrap(), looking.await.unwrap());
    println!("{report:?}; {number} sagas began meanwhile, looked {looked} times");
    assert!(looked >= 3);
    assert_eq!((i64::try_from(report.sagas).unwrap(), report.busy), (removable, 0));
    assert_eq!(report.periods.len(), 10);
    assert!(report.periods.iter().all(|over| over.outcome == "dropped"), "{report:?}");
    assert_eq!(busy.database.count("SELECT count(*) FROM saga WHERE business_key LIKE 'old%'").await, 60 - removable);
    let orphans = "SELECT count(*) FROM journal j WHERE NOT EXISTS (SELECT FROM saga s WHERE s.id = j.saga_id)";
    assert_eq!(busy.database.count(orphans).await, 0);
    let stuck = "SELECT count(*) FROM saga s WHERE phase = 2 AND business_key LIKE 'old%' AND EXISTS (SELECT FROM journal_default j WHERE j.saga_id = s.id)";
    assert_eq!(busy.database.count(stuck).await, 6, "a stuck saga keeps its journal when the table of its period goes");
    let told = "SELECT count(*) FROM audit WHERE verb IN ('remove sagas', 'drop partition') AND who = 'ada'";
    assert_eq!(busy.database.count(told).await, 11);
    let new = "SELECT count(*) FROM saga WHERE business_key LIKE 'new%' AND finished_at IS NOT NULL";
    assert!(busy.database.count(new).await > 10, "engines went on meanwhile");
}

/// Ended sagas of 39 days ago in their period, one of a hundred still open; three rows and a trace each.
async fn past(database: &TestDatabase, sagas: u32) -> String {
    let day = "(date_trunc('day', now()) - interval '39 days')";
    database
        .run(&format!(
            "SELECT make_period('journal', {day}, {day} + interval '1 day'), make_period('saga_trace', {day}, {day} + interval '1 day'); \
             INSERT INTO saga SELECT overlay(saga_id_at({day} + interval '1 hour')::text PLACING lpad(to_hex(n), 12, '0') FROM 25)::uuid, \
                 sha256('d'), 'd', 'k' || n, CASE WHEN n % 100 = 0 THEN 2 ELSE 4 END, {day}, \
                 CASE WHEN n % 100 = 0 THEN NULL ELSE {day} + interval '2 hours' END, NULL, NULL FROM generate_series(1, {sagas}) n; \
             INSERT INTO journal SELECT id, seq, {day}, 1, 'x' FROM saga, generate_series(1, 3) seq; \
             INSERT INTO saga_trace SELECT gen_random_uuid(), id FROM saga"
        ))
        .await;
    let mut connection = database.connect().await;
    let statement = format!("SELECT to_char({day} AT TIME ZONE 'UTC', '\"journal_\"YYYYMMDD_HH24MI')");
    let query = sqlx::query_as(sqlx::AssertSqlSafe(statement));
    let (name,): (String,) = query.fetch_one(&mut connection).await.unwrap();
    name
}

fn run_slowly(url: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_sagabus"))
        .args("retention run --keep 30d --topics-hold 7d --rate 200 --reason test --yes".split(' '))
        .env("SAGABUS_DATABASE_URL", url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_killed_half_way_is_gone_on_with_and_broken_journals_are_never_seen() {
    let database = TestDatabase::migrated("retention_killed").await;
    let name = past(&database, 3_000).await;
    let url = Some(database.url.as_str());
    let console = Console::connect(&database.url).await.unwrap();
    for fewer in [2_900, 2_400] {
        let mut run = run_slowly(&database.url);
        while database.count("SELECT count(*) FROM saga").await > fewer {
            if run.try_wait().unwrap().is_some() {
                // Postgres had not noticed yet that the process before it is gone.
                run = run_slowly(&database.url);
            }
            assert_eq!(console.journal_gaps(None, 1).await.unwrap().count, 0);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let again =
            sagabus(url, &["retention", "run", "--keep", "30d", "--topics-hold", "7d", "--reason", "r", "--yes"]);
        assert_eq!(code(&again), 4, "one process at a time: {}", error(&again));
        run.kill().unwrap();
        run.wait().unwrap();
        assert_eq!(console.journal_gaps(None, 1).await.unwrap().count, 0);
    }
    assert!(database.count("SELECT count(*) FROM saga").await > 30);
    // Postgres notices that the process is gone when its statement ends.
    let all =
        ["retention", "run", "--keep", "30d", "--topics-hold", "7d", "--reason", "r", "--yes", "--output", "json"];
    let mut done = sagabus(url, &all);
    while code(&done) == 4 {
        done = sagabus(url, &all);
    }
    assert_eq!(code(&done), 0, "{}", error(&done));
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&report["periods"][0]["name"], &report["periods"][0]["outcome"]), (&name.into(), &"dropped".into()));
    assert_eq!(report["periods"][0]["oldest"]["businessKey"], "k100");
    assert_eq!(database.count("SELECT count(*) FROM saga").await, 30);
    assert_eq!(database.count("SELECT count(*) FROM journal").await, 90, "those that are open have their journals");
    assert_eq!(database.count("SELECT count(*) FROM saga_trace").await, 30);
    assert_eq!(database.count("SELECT count(*) FROM emptied_period").await, 0);
    assert_eq!(console.journal_gaps(None, 1).await.unwrap().count, 0);
    assert!(out(&sagabus(url, &["audit", "list"])).contains("drop partition"));
}

#[tokio::test]
async fn a_period_with_many_open_sagas_is_kept_and_named_and_a_missing_saga_elsewhere_is_still_found() {
    let database = TestDatabase::migrated("retention_kept").await;
    let name = past(&database, 1_500).await;
    database.run("UPDATE saga SET phase = 2, finished_at = NULL WHERE right(business_key, 1) <> '9'").await;
    let open = database.count("SELECT count(*) FROM saga WHERE finished_at IS NULL").await;
    assert!(open > i64::from(operations::RETENTION_MOVED_MAX) && open < 1_500, "{open}");
    let report = retain(&database.url, &options(Some(30), 100_000)).await;
    let kept = report.periods.iter().find(|over| over.name == name).unwrap();
    assert_eq!((kept.outcome, kept.sagas), ("kept", operations::RETENTION_MOVED_MAX + 1), "{report:?}");
    assert_eq!(database.count("SELECT count(*) FROM saga").await, open);
    assert_eq!(database.count("SELECT count(*) FROM journal").await, 4_500, "the table stays as it is");
    let console = Console::connect(&database.url).await.unwrap();
    assert_eq!(console.journal_gaps(None, 1).await.unwrap().count, 0);
    database.run("INSERT INTO journal VALUES ('00000000-0000-7000-8000-000000000001', 1, now(), 1, 'x')").await;
    assert_eq!(console.journal_gaps(None, 1).await.unwrap().count, 1, "a journal that lost its saga otherwise");
    let shown = out(&sagabus(Some(&database.url), &["retention", "show", "--output", "json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let row = shown.as_array().unwrap().iter().find(|row| row["name"] == *name).unwrap();
    assert_eq!((row["open"].as_i64(), row["oldestOpenKey"].as_str()), (Some(open), Some("k1")), "{row}");
}

#[tokio::test]
async fn what_still_waits_for_something_is_not_removed() {
    let database = TestDatabase::migrated("retention_waits").await;
    past(&database, 5).await;
    database
        .run(
            "UPDATE saga SET wake_at = now() WHERE business_key = 'k1'; \
             INSERT INTO unemitted SELECT 1, 1, 1, array_agg(id), '{3}' FROM saga WHERE business_key = 'k2'; \
             INSERT INTO operation (id, saga_id, request, verb, who, reason) SELECT id, id, '{}', 'retry', 'ada', 'r' FROM saga WHERE business_key = 'k3'; \
             UPDATE saga SET finished_at = now() - interval '29 days' WHERE business_key = 'k4'",
        )
        .await;
    let report = retain(&database.url, &options(Some(30), 1_000)).await;
    assert_eq!(report.sagas, 1);
    assert_eq!(database.count("SELECT count(*) FROM saga WHERE business_key = 'k5'").await, 0);
    assert_eq!(database.count("SELECT count(*) FROM saga").await, 4);
    let mut keeper = Keeper::connect(&database.url).await.unwrap();
    let order = RemovalOrder { ended_before: wall_clock(), who: "ada".into(), reason: "r".into() };
    database.run("UPDATE saga SET finished_at = now() - interval '23 hours' WHERE business_key = 'k4'").await;
    let all = (uuid::Uuid::nil(), uuid::Uuid::max());
    assert_eq!(keeper.remove(all, 10, &order, true).await.unwrap().removed, 0, "never within a day, whoever asks");
}

#[tokio::test]
async fn other_records_go_with_their_time_and_what_counts_and_proves_stays() {
    let database = TestDatabase::migrated("retention_records").await;
    let old = "now() - interval '40 days'";
    database
        .run(&format!(
            "INSERT INTO parked_message (topic, partition, \"offset\", reason, key, value, headers, parked_at, state) \
             SELECT 't', 0, n, 'malformed: x', 'k', 'secret', '[]', {old}, CASE n WHEN 0 THEN 'parked' ELSE 'discarded' END FROM generate_series(0, 2) n; \
             INSERT INTO redrive (id, message_id, topic, partition, \"offset\", written_at, is_whole, headers, verb, who, reason, verdict, decided_at) \
             SELECT gen_random_uuid(), id, 't', 0, 0, now(), true, '[]', 'redrive', 'ada', 'r', 'applied', {old} FROM parked_message; \
             INSERT INTO operation (id, saga_id, request, verb, who, reason, state, decided_at) \
             SELECT gen_random_uuid(), gen_random_uuid(), '{{}}', 'retry', 'ada', 'r', 'decided', d FROM unnest(ARRAY[now(), {old}]) d; \
             INSERT INTO plan (number, hash, verb, request, selected, eligible, ineligible, planned_by, state, ended_at) \
             VALUES (1, sha256(''), 'retry', '{{}}', '', 0, 0, 'ada', 'cancelled', {old}); \
             INSERT INTO plan_item (plan, saga_id, seq, turn, operation_id, effect, leaves_stuck) \
             SELECT 1, saga_id, 1, 1, id, '{{}}', false FROM operation WHERE decided_at < now() - interval '1 day'; \
             INSERT INTO audit (at, who, verb, target, reason, outcome) VALUES ({old}, 'ada', 'v', 't', 'r', 'decided')"
        ))
        .await;
    let report = retain(&database.url, &options(Some(30), 1_000)).await;
    let expected = [("operations", 1), ("parkedMessagesEmptied", 2), ("plans", 1), ("redrives", 2), ("traces", 0)];
    assert_eq!(report.records.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(database.count("SELECT count(*) FROM parked_message").await, 3, "verdicts are counted by them");
    assert_eq!(database.count("SELECT count(*) FROM parked_message WHERE value IS NULL").await, 2);
    assert_eq!(database.count("SELECT count(*) FROM redrive").await, 1, "of what is parked still");
    assert_eq!(database.count("SELECT count(*) FROM audit").await, 1, "the audit is never removed from");
}

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
    assert_eq!(keeper.drop_period(&name, 1_000, &order).await.unwrap(), DroppedPeriod::Dropped(100));
    let ahead = wall_clock().plus_millis(10 * 86_400_000);
    assert_eq!(keeper.make("journal", ahead, ahead.plus_millis(86_400_000)).await.unwrap(), MadePeriod::Made);
    assert_eq!(keeper.make("journal", ahead, ahead.plus_millis(86_400_000)).await.unwrap(), MadePeriod::There);
    store.commit(&fence, &born(commits, ahead.plus_millis(1))).await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM journal WHERE tableoid = 'journal_default'::regclass AND at > now() - interval '1 hour'").await, i64::try_from(commits).unwrap());
}

#[tokio::test]
async fn a_large_default_partition_is_not_looked_through_while_others_wait() {
    let database = TestDatabase::migrated("retention_large").await;
    let (mut store, mut fence) = writer(&database.url).await;
    // The columns are written as they are: 2,000 bytes that do not compress stay in the table.
    database
        .run(
            "ALTER TABLE journal_default ALTER facts SET STORAGE PLAIN; \
             INSERT INTO journal SELECT overlay(saga_id_at(now() - interval '1 day')::text PLACING lpad(to_hex(n), 12, '0') FROM 25)::uuid, \
                 1, now(), 1, decode(repeat(md5(n::text), 120), 'hex') FROM generate_series(1, 12000) n",
        )
        .await;
    let tomorrow = wall_clock().plus_millis(2 * 86_400_000);
    let mut keeper = Keeper::connect(&database.url).await.unwrap();
    let day = (tomorrow, tomorrow.plus_millis(86_400_000));
    assert_eq!(keeper.make("journal", day.0, day.1).await.unwrap(), MadePeriod::Large);
    assert!(keeper.clear_default("journal", day.0, day.1).await.unwrap());
    // Somebody is killed here. What lies in the range is tried again and again, the rest goes on.
    let blocked = store.commit(&fence, &born(0, day.0.plus_millis(1))).await;
    assert!(matches!(blocked, Err(StoreError::Contention(_))), "{blocked:?}");
    fence.batch = store.commit(&fence, &born(1, wall_clock())).await.unwrap().batch;
    let report = retain(&database.url, &options(None, 1)).await;
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

/// Waits an hour for an answer.
const PATIENT: &str = "saga: v1\nname: d\nversion: 1\ntrigger: {topic: d.triggers, type: go}\nbusinessKey: ${trigger.data.orderId}\n\
                       defaults: {timeout: 1h, patience: 2h}\nsteps:\n  a: {command: {type: t}, compensate: {type: u}}\n";

#[tokio::test]
async fn an_engine_that_holds_a_saga_which_is_gone_sends_nothing_and_forgets_it() {
    let database = TestDatabase::migrated("retention_cached").await;
    set_back(&database).await;
    let source = Source { file: "d.saga.yaml".to_owned(), yaml: PATIENT.to_owned(), schemas: [].into() };
    let plan = Arc::new(Compiled::load(&source).unwrap());
    let console = Console::connect(&database.url).await.unwrap();
    console.deploy(&[row_of(&source, &plan)], false).await.unwrap();
    let store = PostgresStore::new(&database.url).unwrap();
    let silent = Box::new(|_: &Received| Behaviour::Silent);
    let mut world = World::new(store, vec![Arc::clone(&plan)], silent, SystemClock::start());
    world.broker.set_now(then());
    for key in ["timer", "answer"] {
        world.trigger(&plan, key);
    }
    while world.participants.seen.len() < 2 || world.engine.health().cached() < 2 {
        world.turn(then()).await;
    }
    assert_eq!(database.count("SELECT count(*) FROM journal").await, 2);
    // Another engine brought them to their ends, and they were removed; this one was told nothing.
    database.run("DELETE FROM journal; DELETE FROM saga; DELETE FROM unemitted").await;
    let_time_pass(&database).await;
    let command = world.participants.seen.iter().find(|command| &*command.key == "answer").unwrap().clone();
    let answer = Answer {
        id: "late".into(),
        outcome: Outcome::Success,
        data: Json::empty_object(),
        code: None,
        retryable: false,
        without_effect: false,
    };
    // The hour is over as soon as the engine hears what time it is, by its next heartbeat.
    let until = Instant::now() + Duration::from_secs(20);
    while world.engine.health().cached() > 0 {
        assert!(Instant::now() < until, "what is gone leaves memory");
        world.turn(wall_clock()).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.broker.publish(&wire::answer(&command, "test", &answer));
    while database.count("SELECT count(*) FROM parked_message").await < 1 {
        assert!(Instant::now() < until, "the late answer is put aside");
        world.turn(wall_clock()).await;
    }
    let orphans = "SELECT count(*) FROM parked_message WHERE reason LIKE 'orphan: unknown-saga%'";
    assert_eq!(database.count(orphans).await, 1, "as of any unknown saga");
    assert_eq!(database.count("SELECT count(*) FROM journal").await, 0, "nothing is written for it");
    assert_eq!(world.participants.seen.len(), 2, "nothing is sent for it");
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

#[tokio::test]
async fn what_would_be_removed_is_told_first_and_a_time_that_is_too_short_is_refused() {
    let database = TestDatabase::migrated("retention_cli").await;
    past(&database, 200).await;
    let url = Some(database.url.as_str());
    let run = |more: &str| sagabus(url, &format!("retention run {more}").split(' ').collect::<Vec<_>>());
    let short = run("--keep 7d --topics-hold 14d --reason r --yes");
    assert_eq!(code(&short), 4);
    assert!(
        error(&short).contains("would start a second saga") && error(&short).contains("--keep 338h"),
        "{}",
        error(&short)
    );
    assert_eq!(code(&run("--keep 23h --topics-hold 1h --reason r --yes")), 4);
    assert_eq!(code(&run("--keep 30d --reason r --yes")), 2, "no Kafka to ask, and nobody says how long topics hold");
    assert_eq!(code(&run("--keep 30d --topics-hold 7d --yes")), 2, "no reason");
    assert_eq!(code(&run("--keep 30d --topics-hold 7d --reason r")), 2, "nobody can be asked");
    let would = run("--keep 30d --topics-hold 7d --dry-run");
    assert!(out(&would).contains("198 sagas would be removed"), "{}", out(&would));
    assert_eq!(database.count("SELECT count(*) FROM saga").await, 200, "nothing is done");
    let done = run("--keep 30d --topics-hold 7d --reason r --yes");
    assert_eq!(code(&done), 0, "{}", error(&done));
    assert!(
        out(&done).contains("198 sagas removed") && out(&done).contains("2 tables dropped, 0 kept"),
        "{}",
        out(&done)
    );
    assert!(out(&sagabus(url, &["retention", "show"])).contains("journal_default"));
}

fn at(days: i64) -> Moment {
    Moment(Timestamp::from_millis(1_700_006_400_000 + days * 86_400_000))
}

#[test]
fn people_and_programs_read_what_was_removed_and_what_is_kept() {
    let times = Times { format: TimeFormat::Relative, now: at(40).0 };
    let over = |name: &str, day, outcome, sagas, oldest| OverJson {
        name: name.to_owned(),
        from: at(day),
        to: at(day + 1),
        outcome,
        sagas,
        oldest,
    };
    let oldest = |key: &str, phase: Phase| {
        Some(OldestKept { id: uuid::Uuid::nil(), business_key: key.to_owned(), phase: phase.name() })
    };
    let report = RetentionReport {
        dry_run: false,
        ended_before: Some(at(10)),
        sagas: 371_204,
        made: 2,
        occupied: 1,
        busy: 1,
        periods: vec![
            over("journal_20231115_0000", 0, "dropped", 2, oldest("order-42", Phase::Stuck)),
            over("saga_trace_20231115_0000", 0, "busy", 2, oldest("order-42", Phase::Stuck)),
            over("journal_20231116_0000", 1, "kept", 1_001, oldest("bell-\u{7}", Phase::Paused)),
            over("journal_20231117_0000", 2, "dropped", 0, None),
        ],
        records: [("operations", 12), ("plans", 0), ("traces", 3)].into(),
    };
    golden("retention_run", &render::retained(&report, times));
    golden("retention_run_json", &serde_json::to_string_pretty(&report).unwrap());
    golden("retention_dry_run", &render::retained(&RetentionReport { dry_run: true, ..report }, times));
    let part = |name: &str, day: Option<i64>, rows, open, key: Option<&str>| PeriodJson {
        table: "journal".to_owned(),
        name: name.to_owned(),
        from: day.map(at),
        to: day.map(|day| at(day + 1)),
        rows,
        bytes: 3_000_000,
        open,
        oldest_open: key.map(|_| uuid::Uuid::nil()),
        oldest_open_key: key.map(str::to_owned),
    };
    let found = [
        part("journal_default", None, None, 2, Some("order-42")),
        part("journal_20231224_0000", Some(39), Some(1_204_331), 12, Some("order-7")),
        part("journal_20231225_0000", Some(40), Some(0), 0, None),
    ];
    golden("retention_show", &render::periods(&found, times));
    golden("retention_show_json", &serde_json::to_string_pretty(&found).unwrap());
    let help = out(&sagabus(None, &["retention", "run", "--help"]));
    assert!(help.contains("Example: sagabus retention run --keep 30d"), "{help}");
    assert!(out(&sagabus(None, &["retention", "show", "-h"])).contains("Example: sagabus retention show"));
    // What every verb takes is kept elsewhere.
    golden("retention_help", help.split("\nPlaces:").next().unwrap());
}
