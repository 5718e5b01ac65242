//! Retention on a real Postgres: beside engines at work, killed half-way, and what engines make of a saga that is gone.
//! Long ago is made by a clock of the database that a test sets back.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sagabus::cli::render;
use sagabus::core::{Answer, Json, Outcome, Phase, Timestamp};
use sagabus::definition::{Compiled, Source};
use sagabus::engine::{SystemClock, wall_clock};
use sagabus::operations::{
    self, Check, Moment, OldestKept, OverJson, PeriodJson, RetentionOptions, RetentionReport, TimeFormat, Times,
};
use sagabus::store::{Console, Keeper, PostgresStore, RemovalOrder};
use sagabus::wire::{self, Received};
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

pub(super) fn options(keep_days: Option<u32>, rate: u32) -> RetentionOptions {
    let (who, reason) = ("ada".to_owned(), "test".to_owned());
    RetentionOptions { keep: keep_days.map(|days| DAY * days), period: DAY, rate, who, reason }
}

pub(super) async fn retain(url: &str, options: &RetentionOptions) -> RetentionReport {
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
    // What an engine has written a moment ago to a saga of that time keeps its table a while.
    busy.database.run("UPDATE journal SET at = at - interval '1 hour'").await;
    let last = retain(&busy.database.url, &options(Some(30), 20)).await;
    let outcomes =
        |report: &RetentionReport, outcome| report.periods.iter().filter(|over| over.outcome == outcome).count();
    assert_eq!(outcomes(&report, "kept"), outcomes(&last, "dropped"));
    assert_eq!(outcomes(&report, "dropped") + outcomes(&last, "dropped"), 10);
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
pub(super) async fn past(database: &TestDatabase, sagas: u32) -> String {
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
    let first = uuid::Uuid::nil();
    assert_eq!(keeper.remove(first, 10, &order, true).await.unwrap().removed, 0, "never within a day, whoever asks");
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
    let (old, told) = (
        "verb = 'v'",
        "verb = 'remove records' AND message = 'plans 1, operations 1, redrives 2, parkedMessagesEmptied 2'",
    );
    for of in [old, told] {
        let statement = format!("SELECT count(*) FROM audit WHERE {of}");
        assert_eq!(database.count(&statement).await, 1, "the audit is told, and never removed from: {of}");
    }
    retain(&database.url, &options(Some(30), 1_000)).await;
    assert_eq!(database.count("SELECT count(*) FROM audit").await, 2, "of nothing it is told nothing");
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
async fn a_trigger_whose_saga_was_removed_while_its_journal_is_still_there_is_put_aside_and_the_others_go_on() {
    let database = TestDatabase::migrated("retention_again").await;
    let source = Source { file: "d.saga.yaml".to_owned(), yaml: PATIENT.to_owned(), schemas: [].into() };
    let plan = Arc::new(Compiled::load(&source).unwrap());
    let console = Console::connect(&database.url).await.unwrap();
    console.deploy(&[row_of(&source, &plan)], false).await.unwrap();
    let store = PostgresStore::new(&database.url).unwrap();
    let silent = || Box::new(|_: &Received| Behaviour::Silent);
    let mut world = World::new(store, vec![Arc::clone(&plan)], silent(), SystemClock::start());
    let written_at = then();
    world.broker.set_now(written_at);
    world.trigger(&plan, "again");
    while database.count("SELECT count(*) FROM journal").await < 1 {
        world.turn(then()).await;
    }
    database.run("DELETE FROM saga; DELETE FROM unemitted").await;
    // Another engine, which does not know the saga: the same trigger with the same timestamp, and another one.
    let store = PostgresStore::new(&database.url).unwrap();
    let mut world = World::new(store, vec![Arc::clone(&plan)], silent(), SystemClock::start());
    database.run("DELETE FROM input_offset").await;
    world.broker.set_now(written_at);
    world.trigger(&plan, "again");
    world.trigger(&plan, "other");
    let until = Instant::now() + Duration::from_secs(20);
    while database.count("SELECT count(*) FROM parked_message").await < 1 {
        assert!(Instant::now() < until, "it is put aside");
        world.turn(then()).await;
    }
    let parked = "SELECT count(*) FROM parked_message WHERE reason LIKE 'malformed: store: store.23505%'";
    assert_eq!(database.count(parked).await, 1);
    while database.count("SELECT count(*) FROM saga WHERE business_key = 'other'").await < 1 {
        assert!(Instant::now() < until, "the others go on");
        world.turn(then()).await;
    }
    assert_eq!(database.count("SELECT count(*) FROM input_offset WHERE stopped_because IS NOT NULL").await, 0);
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
        error(&short).contains("would start a second saga") && error(&short).contains("keep them for 338h"),
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
