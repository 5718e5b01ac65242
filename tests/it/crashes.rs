//! An engine that panics begins anew, and sets aside what it crashes on (RELIABILITY.md A5). In memory, and on real Kafka and Postgres.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sagabus::bus::{From, KafkaBus, KafkaSettings};
use sagabus::core::{Operation, Phase, Timestamp, Verb};
use sagabus::definition::read_folder;
use sagabus::engine::{Engine, EngineError, Settings, Stop, SystemClock};
use sagabus::store::{Change, Console, MemoryStore, OperationState, ParkedFilter, PostgresStore};
use uuid::Uuid;

use super::support::database::TestDatabase;
use super::support::faulty::{Fault, Faulty};
use super::support::participants::Behaviour;
use super::support::served::{bootstrap, definition, publish_to};
use super::support::world::{MemoryWorld, row_of};

const TRADE: &str = "trade-settlement";

type Crashing = MemoryWorld<Faulty<MemoryStore>>;

/// A world whose engine panics on such a change.
fn crashing(behaviour: Behaviour, crashes: impl Fn(&Change) -> bool + 'static) -> Crashing {
    let panicking = move |change: &Change| -> Option<Fault> {
        assert!(!crashes(change), "a defect of ours");
        None
    };
    MemoryWorld::on(Box::new(move |_| behaviour), |database| Faulty::new(database.store(), panicking))
}

fn begin(world: &Crashing, keys: impl IntoIterator<Item = usize>) {
    let plan = world.world.plans.iter().find(|plan| &*plan.definition().name == TRADE).unwrap();
    keys.into_iter().for_each(|key| world.world.trigger(plan, &format!("k{key}")));
}

fn begins(change: &Change, key: &str) -> bool {
    change.born.iter().any(|row| &*row.business_key == key)
}

fn saga(world: &Crashing, key: &str) -> (Uuid, Phase) {
    let sagas = world.sagas();
    let (saga, stored) = sagas.iter().find(|(_, stored)| &*stored.row.business_key == key).unwrap();
    (stored.row.id, saga.phase)
}

#[tokio::test]
async fn a_record_that_crashes_the_engine_three_times_is_put_aside_and_the_others_go_on() {
    let mut world = crashing(Behaviour::Answers, |change| begins(change, "k17"));
    begin(&world, 0..100);
    world.run(3_000).await;
    let health = world.world.engine.health();
    assert_eq!(health.crashes(), 3, "in the batch, then alone");
    assert!(health.is_ready());
    let sagas = world.sagas();
    assert_eq!(sagas.len(), 99);
    assert!(sagas.iter().all(|(saga, _)| saga.phase == Phase::Completed));
    let parked = world.database.parked();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].reason.starts_with("malformed: crashed"), "{}", parked[0].reason);
    assert!(parked[0].is_whole, "it can be sent again once the defect is mended");
}

#[tokio::test]
async fn a_panic_that_does_not_come_again_costs_nothing() {
    let panics = std::cell::Cell::new(2);
    let mut world = crashing(Behaviour::Answers, move |change| {
        let is_one = begins(change, "k17") && panics.get() > 0;
        panics.set(panics.get() - i32::from(is_one));
        is_one
    });
    begin(&world, 0..20);
    world.run(3_000).await;
    assert_eq!(world.world.engine.health().crashes(), 2);
    assert_eq!(world.sagas().iter().filter(|(saga, _)| saga.phase == Phase::Completed).count(), 20);
    assert_eq!(world.database.parked().len(), 0);
}

#[tokio::test]
async fn a_record_that_was_read_before_something_else_crashed_the_engine_is_not_suspected() {
    let panics = std::rc::Rc::new(std::cell::RefCell::new(None));
    let kept = std::rc::Rc::clone(&panics);
    let mut world = MemoryWorld::on(Box::new(|_| Behaviour::Answers), |database| {
        let store: Faulty<MemoryStore> = Faulty::new(database.store(), |_| None);
        *kept.borrow_mut() = Some(std::rc::Rc::clone(&store.asked_panics));
        store
    });
    world.run(100).await;
    panics.borrow_mut().take().unwrap().set(5);
    // One of them is in hand whenever people are asked what they want.
    for key in 0..20 {
        begin(&world, [key]);
        world.run(60).await;
    }
    world.run(4_000).await;
    assert_eq!(world.world.engine.health().crashes(), 5);
    assert_eq!(world.sagas().iter().filter(|(saga, _)| saga.phase == Phase::Completed).count(), 20);
    assert_eq!(world.database.parked().len(), 0);
}

#[tokio::test]
async fn a_saga_whose_timer_crashes_the_engine_is_left_alone_until_it_moves_on_and_the_others_go_on() {
    let first = std::cell::Cell::new(None::<Uuid>);
    let mut world = crashing(Behaviour::Silent, move |change| {
        if begins(change, "k0") {
            first.set(change.born.iter().find(|row| &*row.business_key == "k0").map(|row| row.id));
        }
        // Its first time-out.
        change.operations.is_empty()
            && change.journal.iter().any(|row| Some(row.saga_id) == first.get() && row.seq == 2)
    });
    begin(&world, 0..5);
    world.run(120_000).await;
    assert_eq!(world.world.engine.health().crashes(), 3);
    assert_eq!(world.database.sagas().iter().filter(|stored| stored.journal.len() > 1).count(), 4);
    let (id, phase) = saga(&world, "k0");
    assert_eq!(phase, Phase::Running);
    ask(&world, id, Verb::Cancel);
    world.run(60_000).await;
    let rows = world.database.sagas().into_iter().find(|stored| stored.row.id == id).unwrap().journal.len();
    assert!(rows > 2, "its timers are looked at again: {rows} rows");
    assert_eq!(world.world.engine.health().crashes(), 3);
}

/// A person asks; the request's id.
fn ask(world: &Crashing, saga: Uuid, verb: Verb) -> Uuid {
    let id = Uuid::from_u128(7);
    let (who, reason) = ("ada".into(), "test".into());
    world.database.ask(saga, Operation { id, who, reason, verb, expect_seq: None });
    id
}

#[tokio::test]
async fn an_action_that_crashes_the_engine_is_refused() {
    let mut world =
        crashing(Behaviour::Silent, |change| change.operations.iter().any(|outcome| outcome.seq_after.is_some()));
    begin(&world, 0..2);
    world.run(200).await;
    let (id, _) = saga(&world, "k1");
    let operation = ask(&world, id, Verb::Cancel);
    world.run(3_000).await;
    let outcome = world.database.outcome(operation).unwrap();
    assert_eq!((outcome.state, outcome.code), (OperationState::Refused, Some("crashed")));
    assert_eq!(world.world.engine.health().crashes(), 3);
}

#[tokio::test]
async fn an_engine_that_crashes_whatever_it_does_ends() {
    let mut world = crashing(Behaviour::Answers, |_| true);
    begin(&world, 0..100);
    let mut turns = 0;
    let ended = loop {
        turns += 1;
        world.database.set_now(Timestamp::from_millis(1_700_000_000_000 + 20 * turns));
        world.world.clock.advance(20);
        if let Err(error) = world.world.engine.step(&world.world.stop).await {
            break error;
        }
    };
    assert!(matches!(ended, EngineError::Crashed), "{ended}");
    // Inputs that are found guilty one after the other do not end it; what belongs to none does.
    assert!(world.world.engine.health().crashes() > 10);
    assert_eq!(world.sagas().len(), 0);
}

#[tokio::test]
async fn on_kafka_and_postgres_a_record_that_crashes_the_engine_is_put_aside_once_and_the_others_go_on() {
    let name = format!("crashes-{}", std::process::id());
    let database = TestDatabase::migrated("crashes").await;
    let folder = std::env::temp_dir().join(&name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("x.saga.yaml"), definition(&name, 1)).unwrap();
    ensure_topics(&folder);
    let (source, compiled) = read_folder(&folder).unwrap_or_else(|report| panic!("{report}")).remove(0);
    std::fs::remove_dir_all(&folder).unwrap();
    let console = Console::connect(&database.url).await.unwrap();
    console.deploy(&[row_of(&source, &compiled)], false).await.unwrap();
    let crashes = |change: &Change| -> Option<Fault> {
        assert!(!begins(change, "k123"), "a defect of ours");
        None
    };
    let store = Faulty::new(PostgresStore::new(&database.url).unwrap(), crashes);
    let bus = KafkaBus::connect(&KafkaSettings::new(&bootstrap(), &name, None)).unwrap();
    let settings = Settings { instance: None, from: From::Earliest, seed: 1 };
    let mut engine = Engine::new(store, bus, SystemClock::start(), settings);
    let health = engine.health();
    publish_to(&format!("{name}.triggers"), 0..300);
    let (stop, read) = (
        Stop::default(),
        "SELECT coalesce(sum(next_offset), 0)::bigint FROM input_offset WHERE topic LIKE '%.triggers'",
    );
    let all_read = async {
        while database.count(read).await < 300 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.request();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = engine.run(&stop) => ended.unwrap(),
        () = all_read => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("not read within a minute, {} crashes", health.crashes()),
    }
    assert_eq!(health.crashes(), 3);
    assert_eq!(database.count("SELECT count(*) FROM saga").await, 299);
    let parked = console.parked(&ParkedFilter::default(), 10).await.unwrap();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].reason.starts_with("malformed: crashed"), "{}", parked[0].reason);
    let uncounted = "SELECT sum(next_offset - first_offset - gaps - applied - ignored - duplicate - stale - conflict - orphan - malformed)::bigint FROM input_offset";
    assert_eq!(database.count(uncounted).await, 0, "each record has one verdict");
}

fn ensure_topics(folder: &Path) {
    let told = ["topics", "ensure", "--kafka", &bootstrap(), "--partitions", "4", "--definitions"];
    let done = Command::new(env!("CARGO_BIN_EXE_sagabus")).args(told).arg(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
