//! The online checks on a real Postgres: silent beside engines at work, and each corruption found and named.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sagabus::bus::{From, MemoryBus};
use sagabus::core::{Action, Answer, Fact, Json, Operation, Outcome, Phase, Transition, Verb};
use sagabus::definition::{Compiled, Source};
use sagabus::engine::{Engine, Settings, SystemClock, wall_clock};
use sagabus::operations::{self, Check, Places, VerifyReport};
use sagabus::store::{Console, PostgresStore, SagaFilter};
use sagabus::wire;
use uuid::Uuid;

use super::support::database::TestDatabase;
use super::support::participants::{Behaviour, Script};
use super::support::world::{World, examples, row_of, trigger_data};

const TRADE: &str = "trade-settlement";
const TRIGGERS: &str = "orders.events";
const REPLIES: &str = "trade-settlement.replies";

/// Engines on a Postgres of their own; broker and participants in memory.
pub(super) struct Busy {
    pub(super) database: TestDatabase,
    pub(super) world: World<PostgresStore, SystemClock>,
}

impl Busy {
    pub(super) async fn start(name: &str, script: Script) -> Self {
        Self::with(name, examples(), script).await
    }

    /// With these definitions in force.
    pub(super) async fn with(name: &str, definitions: Vec<(Source, Arc<Compiled>)>, script: Script) -> Self {
        let database = TestDatabase::migrated(name).await;
        let console = Console::connect(&database.url).await.unwrap();
        let rows: Vec<_> = definitions.iter().map(|(source, plan)| row_of(source, plan)).collect();
        console.deploy(&rows, false).await.unwrap();
        let plans = definitions.into_iter().map(|(_, plan)| plan).collect();
        let world = World::new(PostgresStore::new(&database.url).unwrap(), plans, script, SystemClock::start());
        Self { database, world }
    }

    pub(super) fn trigger(&self, key: &str) {
        let plan = self.world.plans.iter().find(|plan| &*plan.definition().name == TRADE).unwrap();
        self.world.trigger(plan, key);
    }

    /// Another engine that owns the same partitions.
    pub(super) fn peer(&self) -> Engine<PostgresStore, MemoryBus, SystemClock> {
        let topics = self.world.plans.iter().flat_map(|plan| {
            let definition = plan.definition();
            [Arc::clone(&definition.trigger_topic), Arc::clone(&definition.reply_topic)]
        });
        let partitions = topics.flat_map(|topic| [(Arc::clone(&topic), 0), (topic, 1)]).collect();
        let settings = Settings { instance: None, from: From::Earliest, seed: 2 };
        let store = PostgresStore::new(&self.database.url).unwrap();
        Engine::new(store, self.world.broker.connect(partitions), SystemClock::start(), settings)
    }

    pub(super) async fn turn(&mut self) {
        self.world.turn(wall_clock()).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    /// Turns until as many sagas have ended as are asked for.
    async fn until_ended(&mut self, sagas: i64) {
        let until = wall_clock().plus_millis(30_000);
        while self.database.count("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL").await < sagas {
            assert!(wall_clock() < until, "{sagas} sagas end");
            self.turn().await;
        }
    }

    async fn verify(&self) -> VerifyReport {
        let console = Console::read_only(&self.database.url, None).await.unwrap();
        operations::verify(&console, None, 100, |_| {}).await.unwrap()
    }
}

pub(super) fn count(report: &VerifyReport, check: Check) -> u64 {
    report.checks.iter().find(|found| found.check == check).unwrap().count
}

fn said(report: &VerifyReport) -> Vec<String> {
    let of = |found: &operations::CheckJson| {
        let name = found.check.name();
        found.first.iter().map(move |one| format!("{name} {} {:?} {}", one.id, one.key, one.what)).collect::<Vec<_>>()
    };
    report.checks.iter().flat_map(of).collect()
}

fn failure(code: &str) -> Answer {
    Answer {
        id: Arc::from(format!("other-{code}")),
        outcome: Outcome::Failure,
        data: Json::parse(br#"{"message":"no"}"#).unwrap(),
        code: Some(code.into()),
        retryable: false,
        without_effect: false,
    }
}

pub(super) fn mixed() -> Script {
    Box::new(|command| match (command.key.bytes().last().unwrap_or_default(), &*command.step, command.action) {
        (b'1', "risk", Action::Do) => Behaviour::Fails,
        (b'2', "clearing", Action::Do) => Behaviour::FailsAtFirst(2),
        (b'3', "accounting", Action::Do) => Behaviour::Silent,
        (b'4', _, _) => Behaviour::AnswersTwice,
        (b'5', "notification", _) => Behaviour::AnswersLate(1_500),
        (b'6', "clearing", Action::Do) => Behaviour::LosesItsAnswer,
        (b'8', "clearing", Action::Do) => Behaviour::AnswersLate(3_000),
        (b'7', "risk", Action::Do) | (b'7', "clearing", Action::Undo) => Behaviour::Fails,
        _ => Behaviour::Answers,
    })
}

/// Runs every check again and again until it is told to stop. Returns how often, and how many sagas the last one folded.
async fn check_again_and_again(url: String, stop: Arc<AtomicBool>) -> (usize, u64) {
    let console = Console::read_only(&url, None).await.unwrap();
    let places = Places { database_url: Some(url), ..Places::default() };
    let (mut times, mut folded) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let report = operations::verify(&console, None, 5, |_| {}).await.unwrap();
        assert_eq!(report.wrong, 0, "a false alarm: {:#?}", said(&report));
        let balance = operations::balance(&places, &console).await.unwrap();
        assert!(balance.offenders.is_empty(), "a false alarm: {:?}", balance.offenders);
        times += 1;
        folded = report.sagas_folded;
    }
    (times, folded)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_found_beside_engines_at_work_however_often_it_is_looked_for() {
    let mut busy = Busy::start("verify_busy", mixed()).await;
    let mut peer = busy.peer();
    let console = Console::connect(&busy.database.url).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let checker = tokio::task::spawn(check_again_and_again(busy.database.url.clone(), Arc::clone(&stop)));
    let started = wall_clock();
    let mut number = 0_u128;
    while wall_clock().millis_since(started) < 9_000 {
        number += 1;
        busy.trigger(&format!("k{number}"));
        if number.is_multiple_of(10) {
            // What is parked: a trigger that does not fit, another trigger of a known key, an answer for nobody.
            let record = |key: &str, data: &[u8]| {
                let id = format!("t-{number}");
                wire::new_trigger(TRIGGERS, key, "order.accepted", &id, "/test", Json::parse(data).unwrap())
            };
            busy.world.broker.publish(&record("bad", b"{}"));
            busy.world.broker.publish(&record("k1", trigger_data("k1").get().replace("100", "999").as_bytes()));
            if let Some(command) = busy.world.participants.seen.last().cloned() {
                let nobody = wire::Received { saga_id: Uuid::from_u128(number), ..command };
                busy.world.broker.publish(&wire::answer(&nobody, "test", &failure("NO")));
            }
            let running = SagaFilter { phase: Some(Phase::Running), ..SagaFilter::default() };
            let slow = console.list(&running, 100).await.unwrap();
            for saga in slow.iter().filter(|saga| saga.row.business_key.ends_with('8')) {
                let id = Uuid::from_u128(
                    number << 64 | (saga.row.id.as_u128() >> 64 ^ saga.row.id.as_u128()) & u128::from(u64::MAX),
                );
                let verb = if number.is_multiple_of(20) { Verb::Cancel } else { Verb::Pause };
                let ask = Operation { id, verb, who: "ada".into(), reason: "test".into(), expect_seq: None };
                console.ask(saga.row.id, "test", &ask).await.unwrap();
            }
        }
        busy.turn().await;
        peer.step(&busy.world.stop).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let (times, folded) = checker.await.unwrap();
    let report = busy.verify().await;
    let phases: Vec<_> =
        console.counts(&SagaFilter::default()).await.unwrap().into_iter().map(|(_, phase, _)| phase.name()).collect();
    println!("checked {times} times beside {folded} sagas in phases {phases:?}, {} to look at", report.look);
    assert!(times >= 5 && folded >= 50, "{times} checks, {folded} sagas");
    for phase in ["running", "completed", "compensated", "cancelled", "paused", "stuck"] {
        assert!(phases.contains(&phase), "{phase} in {phases:?}");
    }
    assert_eq!(report.wrong, 0, "{:#?}", said(&report));
    let parked = u64::try_from(busy.database.count("SELECT count(*) FROM parked_message").await).unwrap();
    assert!(parked > 10);
    assert_eq!(count(&report, Check::ParkedOpen), parked);
}

/// What is done to the database, which checks find how much more than before, and how it is named.
struct Corruption {
    statement: String,
    finds: &'static [(Check, u64)],
    named: &'static [&'static str],
}

fn corruption(statement: &str, finds: &'static [(Check, u64)], named: &'static [&'static str]) -> Corruption {
    Corruption { statement: statement.to_owned(), finds, named }
}

/// Puts other facts in the place of a saga's.
async fn rewritten(database: &TestDatabase, key: &str, change: impl Fn(&mut Fact)) -> String {
    let saga = format!("saga_id = (SELECT id FROM saga WHERE business_key = '{key}')");
    let query = sqlx::AssertSqlSafe(format!("SELECT seq, facts FROM journal WHERE {saga}"));
    let rows: Vec<(i32, Vec<u8>)> = sqlx::query_as(query).fetch_all(&mut database.connect().await).await.unwrap();
    let update = |(seq, facts): (i32, Vec<u8>)| {
        let mut row = Transition::decode(&facts).unwrap();
        row.facts.iter_mut().for_each(&change);
        format!("UPDATE journal SET facts = '\\x{}' WHERE {saga} AND seq = {seq}; ", const_hex::encode(row.encode()))
    };
    rows.into_iter().map(update).collect()
}

async fn of_facts(database: &TestDatabase) -> Vec<Corruption> {
    use Check::*;
    let beyond = |fact: &mut Fact| {
        if let Fact::Ready { step, .. } = fact {
            step.0 += 95;
        }
    };
    // `order` and `clearing` change their places on the way back.
    let swapped = |fact: &mut Fact| match fact {
        Fact::Ready { step, action: Action::Undo }
        | Fact::Issued { step, action: Action::Undo, .. }
        | Fact::Succeeded { step, action: Action::Undo, .. }
            if step.0 < 2 =>
        {
            step.0 = 1 - step.0
        }
        _ => {}
    };
    vec![
        corruption(
            &rewritten(database, "good-6", beyond).await,
            &[(FoldDifferences, 1)],
            &[r#"Some("good-6") fold the journal"#, "names a step that"],
        ),
        corruption(
            &rewritten(database, "refused-0", swapped).await,
            &[(CompensationOrderViolations, 1)],
            &["compensation_order_violations", "order is undone before clearing, which depends on it"],
        ),
    ]
}

fn of_sagas() -> Vec<Corruption> {
    use Check::*;
    let cut = "DELETE FROM journal WHERE saga_id = (SELECT id FROM saga WHERE business_key = 'good-0') AND seq = 2";
    let emptied = "DELETE FROM journal WHERE saga_id = (SELECT id FROM saga WHERE business_key = 'good-1')";
    let garbage =
        "UPDATE journal SET facts = 'x' || facts WHERE saga_id = (SELECT id FROM saga WHERE business_key = 'good-5')";
    let later = "UPDATE saga SET wake_at = clock_timestamp() + interval '1 day' WHERE business_key = 'silent-2'";
    vec![
        corruption(
            "UPDATE saga SET wake_at = NULL WHERE business_key = 'silent-0'",
            &[(SilentSagas, 1), (FoldDifferences, 1)],
            &["silent_sagas", r#"Some("silent-0") running, without a wake-up"#, "the row has none"],
        ),
        corruption(
            "UPDATE saga SET wake_at = clock_timestamp() - interval '2 minutes' WHERE business_key = 'silent-1'",
            &[(LateWakeUps, 1)],
            &["late_wake_ups", r#"Some("silent-1") due for 12"#],
        ),
        corruption(later, &[(FoldDifferences, 1)], &[r#"Some("silent-2") wake-up: the journal wants one at"#]),
        corruption(cut, &[(JournalGaps, 1)], &["journal_gaps", r#"Some("good-0")"#, "numbered from 1 to"]),
        corruption(emptied, &[(JournalGaps, 1)], &[r#"Some("good-1") a saga without a journal"#]),
        corruption(
            "DELETE FROM saga WHERE business_key = 'good-2'",
            &[(JournalGaps, 1)],
            &["None a journal without a saga"],
        ),
        corruption(
            "UPDATE saga SET phase = 5 WHERE business_key = 'good-3'",
            &[(FoldDifferences, 1)],
            &["fold_differences", r#"Some("good-3") phase: the journal says completed, the row compensated"#],
        ),
        corruption(
            "UPDATE saga SET business_key = 'another' WHERE business_key = 'good-4'",
            &[(FoldDifferences, 1)],
            &[r#"Some("another") business key"#],
        ),
        corruption(garbage, &[(FoldDifferences, 1)], &[r#"Some("good-5") journal: row 1"#]),
        corruption(
            "UPDATE saga SET definition_hash = sha256('x') WHERE business_key = 'good-7'",
            &[(FoldDifferences, 1)],
            &[r#"Some("good-7") definition"#],
        ),
    ]
}

fn of_places() -> Vec<Corruption> {
    use Check::*;
    let parked = |topic: &str, offset: i64, reason: &str| {
        format!(
            "INSERT INTO parked_message (topic, partition, \"offset\", reason, headers) VALUES ('{topic}', 0, {offset}, '{reason}', '')"
        )
    };
    let unbalanced = "ALTER TABLE input_offset DROP CONSTRAINT input_offset_balances; \
        UPDATE input_offset SET next_offset = next_offset + 1 WHERE topic = 'orders.events' AND partition = 0";
    let negative = "UPDATE input_offset SET ignored = ignored - 1, gaps = gaps + 1 WHERE topic = 'orders.events' AND partition = 1";
    let not_parked = "UPDATE input_offset SET malformed = malformed + 1, applied = applied - 1 \
        WHERE (topic, partition) = (SELECT topic, partition FROM input_offset WHERE topic = 'trade-settlement.replies' AND applied > 1 ORDER BY partition LIMIT 1)";
    let missing = "UPDATE input_offset SET known_since = clock_timestamp() - interval '2 minutes'; \
        DELETE FROM input_offset WHERE topic = 'media-publish.replies' AND partition = 0";
    vec![
        corruption(
            "INSERT INTO unemitted (writer_id, batch, owner, saga_ids, seqs) VALUES (999, 7, 999, '{}', '{}')",
            &[(UnemittedWithoutWriter, 1)],
            &["unemitted_without_writer 999/7 None writer 999 has to send it and is not registered"],
        ),
        corruption(
            "DELETE FROM unemitted WHERE owner <> 999; UPDATE writer SET heartbeat_at = clock_timestamp() - interval '5 minutes'; \
             INSERT INTO unemitted SELECT id, 1000000, id, '{}', '{}' FROM writer",
            &[(UnemittedWithoutWriter, 1)],
            &["has to send it and has been silent for 30"],
        ),
        corruption(unbalanced, &[(OffsetHoles, 1)], &["offset_holes orders.events/0", "are accounted for"]),
        corruption(negative, &[(OffsetHoles, 1)], &["offset_holes orders.events/1 None a count is negative"]),
        corruption(not_parked, &[(OffsetHoles, 1)], &["1 malformed records were counted, 0 are parked"]),
        corruption(
            &parked("media-publish.replies", 5_000, "orphan: x: y"),
            &[(OffsetHoles, 2), (ParkedOpen, 1)],
            &["0 orphans were counted, 1 are parked", "the first at 5000", "parked_open media-publish.replies/0@5000"],
        ),
        corruption(
            &parked("nowhere", 3, "malformed: x: y"),
            &[(OffsetHoles, 1), (ParkedOpen, 1)],
            &["offset_holes nowhere/0 None 1 messages are parked of a partition that was never read"],
        ),
        corruption(
            // The parked message of that partition loses its partition as well, so two findings become one.
            missing,
            &[],
            &["media-publish.replies/0 None partitions 0 to 0 were never read, although 1 is read"],
        ),
    ]
}

#[tokio::test]
async fn each_corruption_is_found_and_named() {
    let script: Script = Box::new(|command| match (&*command.key, &*command.step, command.action) {
        (key, "accounting", _) if key.starts_with("silent") => Behaviour::Silent,
        (key, "risk", _) if key.starts_with("refused") => Behaviour::Fails,
        _ => Behaviour::Answers,
    });
    let mut busy = Busy::start("verify_corrupted", script).await;
    for key in (0..8).map(|n| format!("good-{n}")).chain((0..3).map(|n| format!("silent-{n}"))) {
        busy.trigger(&key);
    }
    busy.trigger("refused-0");
    busy.trigger("torn");
    busy.until_ended(10).await;
    let mut before = busy.verify().await;
    assert_eq!((before.wrong, before.look, before.sagas_folded), (0, 0, 13), "{:#?}", said(&before));

    // A participant says the opposite of what it said.
    let commands = &busy.world.participants.seen;
    let torn = commands.iter().find(|command| &*command.key == "torn" && &*command.step == "clearing").unwrap();
    busy.world.broker.publish(&wire::answer(torn, "test", &failure("NO")));
    let until = wall_clock().plus_millis(10_000);
    while count(&before, Check::ConflictingReplies) == 0 {
        assert!(wall_clock() < until, "the contradiction is noted");
        busy.turn().await;
        before = busy.verify().await;
    }
    assert_eq!((before.wrong, before.look), (0, 1));
    assert!(
        said(&before)[0].contains(r#"do clearing, attempt 1: its participant contradicts itself"#),
        "{:?}",
        said(&before)
    );

    let of_facts = of_facts(&busy.database).await;
    for Corruption { statement, finds, named } in of_sagas().into_iter().chain(of_facts).chain(of_places()) {
        busy.database.run(&statement).await;
        let after = busy.verify().await;
        let text = said(&after).join("\n");
        for name in named {
            assert!(text.contains(name), "{statement}\n{name}\n{text}");
        }
        for check in Check::ALL {
            let more = finds.iter().find(|(found, _)| *found == check).map_or(0, |(_, more)| *more);
            if !finds.is_empty() {
                assert_eq!(count(&after, check), count(&before, check) + more, "{statement}\n{check:?}\n{text}");
            }
        }
        before = after;
    }
    for check in Check::ALL {
        assert!(count(&before, check) > 0, "every check has found something: {check:?}");
    }
}

#[tokio::test]
async fn an_offset_that_is_sought_back_begins_a_new_count_and_its_records_are_parked_again() {
    let mut busy = Busy::start("verify_sought", Box::new(|_| Behaviour::Answers)).await;
    busy.trigger("k1");
    let data = Json::parse(b"{}").unwrap();
    busy.world.broker.publish(&wire::new_trigger(TRIGGERS, "bad", "order.accepted", "t", "/test", data));
    busy.until_ended(1).await;
    let parked = "SELECT count(*) FROM parked_message";
    assert_eq!(busy.database.count(parked).await, 1);
    let console = Console::connect(&busy.database.url).await.unwrap();
    for number in [0, 1] {
        console.seek((TRIGGERS, number), 0, "ada", "test").await.unwrap();
        console.seek((REPLIES, number), 0, "ada", "test").await.unwrap();
    }
    assert_eq!(busy.verify().await.wrong, 0, "{:#?}", said(&busy.verify().await));
    for number in 2..7 {
        busy.trigger(&format!("k{number}"));
    }
    busy.until_ended(6).await;
    let until = wall_clock().plus_millis(10_000);
    while busy.database.count("SELECT sum(malformed)::bigint FROM input_offset").await == 0 {
        assert!(wall_clock() < until, "the record is read again");
        busy.turn().await;
    }
    assert_eq!(busy.database.count(parked).await, 2, "and parked again");
    assert_eq!(busy.verify().await.wrong, 0, "{:#?}", said(&busy.verify().await));
}

#[tokio::test]
async fn the_session_of_the_checks_cannot_write() {
    let database = TestDatabase::migrated("verify_read_only").await;
    let console = Console::read_only(&database.url, None).await.unwrap();
    let ask =
        Operation { id: Uuid::from_u128(1), verb: Verb::Cancel, who: "a".into(), reason: "b".into(), expect_seq: None };
    let refused = console.ask(Uuid::nil(), "cancel", &ask).await.unwrap_err();
    assert!(refused.source.to_string().contains("read-only transaction"), "{}", refused.source);
    console.deploy(&[], false).await.unwrap_err();
    assert_eq!(database.count("SELECT count(*) FROM operation").await, 0);
    assert_eq!(operations::verify(&console, Some(5), 5, |_| {}).await.unwrap().sagas_folded, 0, "and it can read");
}

#[tokio::test]
async fn a_check_that_takes_too_long_is_given_up_where_a_limit_is_set() {
    let database = TestDatabase::migrated("verify_limit").await;
    let console = Console::read_only(&database.url, Some(Duration::from_millis(1))).await.unwrap();
    database.run("INSERT INTO journal SELECT gen_random_uuid(), 1, now(), 1, '' FROM generate_series(1, 20000)").await;
    let given_up = console.journal_gaps(None, 1).await.unwrap_err();
    assert!(given_up.source.to_string().contains("57014"), "{}", given_up.source);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saga_whose_journal_cannot_be_read_is_found_and_says_so() {
    let mut busy = Busy::start("verify_unreadable", Box::new(|_| Behaviour::Answers)).await;
    busy.trigger("k1");
    busy.until_ended(1).await;
    busy.database.run("UPDATE journal SET facts = '\\x00' WHERE seq = 2").await;
    let found = super::cli::sagabus(Some(&busy.database.url), &["find", "k1"]);
    let said = super::cli::out(&found);
    assert_eq!(super::cli::code(&found), 0, "{}", super::cli::error(&found));
    assert!(said.contains("nobody can say why: journal of saga") && said.contains("completed"), "{said}");
}
