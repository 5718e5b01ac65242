//! What the engine does about each error of the batch statement (BATCH.md), shown by its effects: nothing lost, nothing twice.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use sagabus::core::{Action, Fact, Operation, Phase, Transition, Verb};
use sagabus::definition::{Compiled, Source};
use sagabus::engine::{Engine, EngineError, Settings};
use sagabus::store::{Change, MemoryStore, OperationState, StoreError};
use sagabus::wire;
use uuid::Uuid;

use super::support::faulty::{Fault, Faulty, Seen};
use super::support::participants::Behaviour;
use super::support::world::MemoryWorld;

const TRADE: &str = "trade-settlement";

type FaultyWorld = MemoryWorld<Faulty<MemoryStore>>;

/// A world whose statements fail as `faults` says, and what its store saw.
fn world(faults: impl FnMut(&Change) -> Option<Fault> + 'static) -> (FaultyWorld, Rc<RefCell<Seen>>) {
    world_of(|_| Behaviour::Answers, faults)
}

fn world_of(
    script: impl Fn(&wire::Received) -> Behaviour + 'static,
    faults: impl FnMut(&Change) -> Option<Fault> + 'static,
) -> (FaultyWorld, Rc<RefCell<Seen>>) {
    let seen: Rc<RefCell<Option<Rc<RefCell<Seen>>>>> = Rc::default();
    let taken = Rc::clone(&seen);
    let world = MemoryWorld::on(Box::new(script), |database| {
        let store = Faulty::new(database.store(), faults);
        *taken.borrow_mut() = Some(Rc::clone(&store.seen));
        store
    });
    let seen = seen.borrow_mut().take().unwrap();
    (world, seen)
}

fn begin<S: sagabus::store::Store>(world: &MemoryWorld<S>, key: &str) {
    let plan = world.world.plans.iter().find(|plan| &*plan.definition().name == TRADE).unwrap();
    world.world.trigger(plan, key);
}

/// The trade's next version.
fn second_version() -> (Source, Compiled) {
    let root = std::env::temp_dir().join(format!("changed-{}", std::process::id()));
    let (folder, schemas) = (root.join("sagas"), root.join("schemas").join(TRADE));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(&schemas).unwrap();
    for schema in std::fs::read_dir(format!("schemas/{TRADE}")).unwrap() {
        let schema = schema.unwrap();
        std::fs::copy(schema.path(), schemas.join(schema.file_name())).unwrap();
    }
    let text = std::fs::read_to_string(format!("sagas/{TRADE}.saga.yaml")).unwrap().replace("version: 1", "version: 2");
    std::fs::write(folder.join("t.saga.yaml"), text).unwrap();
    let changed = sagabus::definition::read_folder(&folder);
    std::fs::remove_dir_all(&root).unwrap();
    changed.unwrap_or_else(|report| panic!("{report}")).remove(0)
}

/// Each record ended as one verdict, and each completed saga had each effect once (the ledger refuses a second one).
fn assert_all_done(world: &FaultyWorld, sagas: usize) {
    let found = world.sagas();
    assert_eq!(found.len(), sagas);
    for (saga, _) in &found {
        assert_eq!(saga.phase, Phase::Completed, "{}", saga.business_key);
        assert_eq!(world.world.participants.effects_of(saga.id).len(), 5);
    }
    let topics = [(Arc::<str>::from("orders.events"), sagas), (Arc::from(format!("{TRADE}.replies")), sagas * 5)];
    for (topic, least) in topics {
        let mut read = 0;
        for number in [0, 1] {
            let (first, next, gaps, counts) = world.database.offset(&(Arc::clone(&topic), number)).unwrap();
            assert_eq!(next - first, gaps + counts.iter().sum::<i64>(), "every record is one verdict");
            read += usize::try_from(next).unwrap();
        }
        assert!(read >= least, "{topic}");
    }
    assert_eq!(world.database.unemitted(), 0, "everything was sent");
}

fn every(n: usize, fault: impl Fn() -> Fault + 'static) -> impl FnMut(&Change) -> Option<Fault> + 'static {
    let mut count = 0;
    move |change| {
        count += usize::from(!change.journal.is_empty());
        (!change.journal.is_empty() && count % n == 0).then(&fault)
    }
}

#[tokio::test]
async fn a_lost_answer_of_a_statement_that_had_committed_doubles_nothing() {
    let (mut world, seen) = world(every(3, || Fault::AnswerLost));
    for n in 0..40 {
        begin(&world, &format!("k{n}"));
        world.run(20).await;
    }
    world.run(20_000).await;
    assert!(
        seen.borrow().fired > 2 && seen.borrow().registrations == seen.borrow().fired + 1,
        "{:?}",
        seen.borrow().fired
    );
    assert_all_done(&world, 40);
}

#[tokio::test]
async fn a_lost_answer_of_a_statement_that_had_not_committed_loses_nothing() {
    let (mut world, seen) = world(every(3, || Fault::Before(StoreError::Unknown("gone".to_owned()))));
    for n in 0..40 {
        begin(&world, &format!("k{n}"));
        world.run(20).await;
    }
    world.run(20_000).await;
    assert!(seen.borrow().fired > 2);
    assert_all_done(&world, 40);
}

#[tokio::test]
async fn a_contended_statement_is_tried_again_as_it_is() {
    let mut left = 3;
    let (mut world, seen) = world(move |change| {
        let fires = left > 0 && !change.journal.is_empty();
        left -= i32::from(fires);
        fires.then(|| Fault::Before(StoreError::Contention("40P01".to_owned())))
    });
    begin(&world, "k");
    world.run(3_000).await;
    let seen = seen.borrow();
    assert_eq!((seen.fired, seen.registrations), (3, 1), "it starts nothing anew");
    let with_rows: Vec<&Change> = seen.changes.iter().filter(|change| !change.journal.is_empty()).collect();
    assert!(with_rows[..4].windows(2).all(|pair| pair[0] == pair[1]), "the same statement, four times");
    assert_all_done(&world, 1);
}

#[tokio::test]
async fn a_value_that_postgres_refuses_parks_one_record_and_its_neighbours_go_on() {
    let (mut world, seen) = world(|change| {
        let is_bad = change.born.iter().any(|row| &*row.business_key == "bad");
        let refused = || StoreError::Refused { sqlstate: "22021".to_owned(), message: "no".to_owned() };
        is_bad.then(|| Fault::Before(refused()))
    });
    (0..20).for_each(|n| begin(&world, &format!("k{n}")));
    begin(&world, "bad");
    (20..40).for_each(|n| begin(&world, &format!("k{n}")));
    world.run(6_000).await;
    assert!(seen.borrow().fired > 3, "in halves, down to the one");
    assert_eq!(seen.borrow().registrations, 1);
    let parked = world.database.parked();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].reason.starts_with("malformed: store: store.22021"), "{}", parked[0].reason);
    assert_all_done(&world, 40);
}

fn facts_of(change: &Change) -> Vec<Fact> {
    let decode = |facts: &[u8]| Transition::decode(facts).unwrap().facts;
    change.journal.iter().flat_map(|row| decode(&row.facts)).collect()
}

#[tokio::test]
async fn a_timer_whose_facts_postgres_refuses_makes_its_saga_stuck_where_a_person_sees_it() {
    let (mut world, seen) = world_of(
        |command| if &*command.step == "clearing" { Behaviour::Silent } else { Behaviour::Answers },
        |change| {
            let is_timer = facts_of(change).iter().any(|fact| matches!(fact, Fact::Resent { .. }));
            let refused = || StoreError::Refused { sqlstate: "22P05".to_owned(), message: "no".to_owned() };
            is_timer.then(|| Fault::Before(refused()))
        },
    );
    begin(&world, "k");
    world.run(3_000).await;
    assert!(seen.borrow().fired > 0);
    let (saga, stored) = world.sagas().remove(0);
    assert_eq!(saga.phase, Phase::Stuck);
    assert!(stored.row.error.as_ref().unwrap().contains("store.22P05"), "{:?}", stored.row.error);
}

#[tokio::test]
async fn an_action_that_postgres_refuses_is_refused_with_its_words() {
    let (mut world, seen) = world_of(
        |command| if &*command.step == "clearing" { Behaviour::Silent } else { Behaviour::Answers },
        |change| {
            let is_action = facts_of(change).iter().any(|fact| matches!(fact, Fact::Operated { .. }));
            let refused = || StoreError::Refused { sqlstate: "22021".to_owned(), message: "a NUL".to_owned() };
            is_action.then(|| Fault::Before(refused()))
        },
    );
    begin(&world, "k");
    world.run(400).await;
    let id = Uuid::from_u128(1);
    let operation = Operation { id, verb: Verb::Cancel, who: "ada".into(), reason: "x".into(), expect_seq: None };
    world.database.ask(world.sagas()[0].0.id, operation);
    world.run(1_500).await;
    assert!(seen.borrow().fired > 0);
    let outcome = world.database.outcome(id).unwrap();
    assert_eq!((outcome.state, outcome.message.as_deref()), (OperationState::Refused, Some("store.22021: a NUL")));
    assert_eq!(world.sagas()[0].0.phase, Phase::Running);
}

#[tokio::test]
async fn a_defect_of_ours_ends_the_engine_instead_of_going_on() {
    let (world, seen) = world(every(1, || Fault::Before(StoreError::Defect("saga row missing".to_owned()))));
    begin(&world, "k");
    let mut world = world;
    let mut ended = None;
    for _ in 0..50 {
        if let Err(error) = world.world.engine.step(&world.world.stop).await {
            ended = Some(error);
            break;
        }
    }
    assert!(matches!(ended, Some(EngineError::Defect(_))), "{ended:?}");
    assert_eq!(seen.borrow().fired, 1);
}

/// Another engine on the same database that reads these partitions.
fn peer(
    world: &FaultyWorld,
    instance: Option<&str>,
    partitions: Vec<(Arc<str>, i32)>,
) -> Engine<MemoryStore, sagabus::bus::MemoryBus, super::support::world::HandClock> {
    let settings = Settings { instance: instance.map(Arc::from), from: sagabus::bus::From::Earliest, seed: 3 };
    Engine::new(world.database.store(), world.world.broker.connect(partitions), world.world.clock.clone(), settings)
}

fn both(topic: &str) -> Vec<(Arc<str>, i32)> {
    [0, 1].map(|number| (Arc::from(topic), number)).to_vec()
}

#[tokio::test]
async fn a_verdict_reached_on_a_cached_saga_is_judged_again_on_what_postgres_has() {
    // Two engines: this one caches the saga, its peer advances it, and this one then reads an answer that its cache does not expect.
    let (mut world, _) = world_of(
        |command| match (&*command.step, command.action) {
            ("order", Action::Do) => Behaviour::AnswersTwice,
            _ => Behaviour::Answers,
        },
        |_| None,
    );
    begin(&world, "k");
    world.run(60).await;
    let cached = world.sagas()[0].0.seq;
    let mut peer = peer(&world, None, both(&format!("{TRADE}.replies")));
    for _ in 0..20 {
        peer.step(&world.world.stop).await.unwrap();
        world.world.participants.run(&[Arc::from("clearing.commands"), Arc::from("risk.commands")], world.now);
    }
    let advanced = world.sagas()[0].0.seq;
    assert!(advanced > cached, "the peer went on: {cached} to {advanced}");
    drop(peer);
    // Long enough for the peer to be taken over.
    world.run(12_000).await;
    assert_all_done(&world, 1);
    let counts = [0, 1].map(|number| world.database.offset(&(format!("{TRADE}.replies").into(), number)).unwrap().3);
    let duplicates: i64 = counts.iter().map(|counts| counts[2]).sum();
    assert_eq!(duplicates, 1, "the second answer of `order`, whoever read it");
}

#[tokio::test]
async fn definitions_that_change_between_two_batches_decide_the_next_one() {
    let (mut world, _) = world(|_| None);
    begin(&world, "before");
    world.run(500).await;
    let plan = world.world.plans.iter().find(|plan| &*plan.definition().name == TRADE).unwrap();
    let (source, compiled) = second_version();
    assert_ne!(plan.definition().hash, compiled.definition().hash);
    let row = super::support::world::row_of(&source, &compiled);
    world.database.deploy(&[row], false).unwrap();
    world.world.plans.push(Arc::new(compiled));
    begin(&world, "after");
    world.run(3_000).await;
    let versions = |key: &str| {
        let sagas = world.sagas();
        let (saga, stored) = sagas.iter().find(|(saga, _)| &*saga.business_key == key).unwrap();
        assert_eq!(saga.phase, Phase::Completed);
        world
            .world
            .plans
            .iter()
            .find(|plan| plan.definition().hash == stored.row.definition_hash)
            .unwrap()
            .definition()
            .version
    };
    assert_eq!((versions("before"), versions("after")), (1, 2), "no trigger is judged by yesterday's definitions");
}

#[tokio::test]
async fn of_two_processes_with_one_name_the_older_ends_and_the_younger_goes_on() {
    let (world, _) = world(|_| None);
    let partitions = || both("orders.events").into_iter().chain(both(&format!("{TRADE}.replies"))).collect::<Vec<_>>();
    let mut older = peer(&world, Some("one"), partitions());
    older.step(&world.world.stop).await.unwrap();
    let mut younger = peer(&world, Some("one"), partitions());
    younger.step(&world.world.stop).await.unwrap();
    begin(&world, "k");
    let mut ended = None;
    for _ in 0..20 {
        younger.step(&world.world.stop).await.unwrap();
        if let Err(error) = older.step(&world.world.stop).await {
            ended = Some(error);
            break;
        }
        world.world.clock.advance(3_000);
    }
    assert!(matches!(&ended, Some(EngineError::Superseded(name)) if name == "one"), "{ended:?}");
    assert_eq!(world.database.sagas().len(), 1);
}

#[tokio::test]
async fn the_second_half_of_a_batch_begins_with_the_definitions_that_changed_while_the_first_was_settled() {
    let (source, compiled) = second_version();
    let (row, hash) = (super::support::world::row_of(&source, &compiled), compiled.definition().hash);
    let mut world = MemoryWorld::on(Box::new(|_| Behaviour::Answers), |database| {
        let (deployed, mut row) = (database.clone(), Some(row));
        Faulty::new(database.store(), move |change: &Change| {
            if change.born.len() > 1 {
                // It is tried in halves.
                let (sqlstate, message) = ("22021".to_owned(), "no".to_owned());
                return Some(Fault::Before(StoreError::Refused { sqlstate, message }));
            }
            if change.born.len() == 1 {
                row.take().into_iter().for_each(|row| _ = deployed.deploy(&[row], false).unwrap());
            }
            None
        })
    });
    world.world.plans.push(Arc::new(compiled));
    begin(&world, "one");
    begin(&world, "two");
    world.run(3_000).await;
    let begun: Vec<_> = world.sagas().iter().map(|(saga, _)| (saga.phase, saga.definition == hash)).collect();
    assert_eq!(begun, [(Phase::Completed, true); 2], "both by the version that was active when they were written");
}
