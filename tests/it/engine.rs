//! The line as a whole, in memory and by virtual time: outages, restarts, several engines, transaction markers, operators.

use std::cell::Cell;
use std::future::Future as _;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use sagabus::bus::{From, MemoryBus};
use sagabus::core::{Action, Fact, Operation, Partition, Phase, Sha256, Transition, Verb};
use sagabus::engine::{Engine, EngineError, Settings};
use sagabus::replay;
use sagabus::store::{Change, DefinitionRow, HoldTarget, OperationState, Store, StoreError};
use sagabus::wire;
use uuid::Uuid;

use super::support::faulty::{Fault, Faulty};
use super::support::participants::Behaviour;
use super::support::world::{HandClock, MemoryWorld, trigger_data};

const TRADE: &str = "trade-settlement";

fn begin(world: &MemoryWorld, key: &str) {
    let plan = world.world.plans.iter().find(|plan| &*plan.definition().name == TRADE).unwrap();
    world.world.trigger(plan, key);
}

/// Turns an engine of the test's own, each time 100 ms later.
async fn turn<S: Store>(world: &mut MemoryWorld, engine: &mut Engine<S, MemoryBus, HandClock>, times: usize) {
    for _ in 0..times {
        world.now = world.now.plus_millis(100);
        world.world.clock.advance(100);
        world.database.set_now(world.now);
        engine.step(&world.world.stop).await.unwrap();
    }
}

fn settings() -> Settings {
    Settings { instance: None, from: From::Earliest, seed: 2 }
}

fn partitions(world: &MemoryWorld) -> Vec<(Arc<str>, i32)> {
    let topics = world.world.plans.iter().flat_map(|plan| {
        let definition = plan.definition();
        [Arc::clone(&definition.trigger_topic), Arc::clone(&definition.reply_topic)]
    });
    topics.flat_map(|topic| [(Arc::clone(&topic), 0), (topic, 1)]).collect()
}

type MemoryEngine = Engine<sagabus::store::MemoryStore, MemoryBus, HandClock>;

/// An engine of another life, or another process, on the same database and broker.
fn another(world: &MemoryWorld) -> MemoryEngine {
    reading(world, partitions(world), settings())
}

fn reading(world: &MemoryWorld, partitions: Vec<(Arc<str>, i32)>, settings: Settings) -> MemoryEngine {
    Engine::new(world.database.store(), world.world.broker.connect(partitions), world.world.clock.clone(), settings)
}

fn named(name: &str) -> Settings {
    Settings { instance: Some(name.into()), ..settings() }
}

#[tokio::test]
async fn an_engine_that_dies_between_commit_and_emission_is_taken_over_and_nothing_is_lost() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    // This engine commits, and nothing that it sends arrives.
    let mut bus = world.world.broker.connect(partitions(&world));
    bus.cut_off(true);
    let mut dying = Engine::new(world.database.store(), bus, world.world.clock.clone(), settings());
    begin(&world, "k");
    world.world.broker.set_now(world.now);
    for _ in 0..5 {
        dying.step(&world.world.stop).await.unwrap();
    }
    drop(dying);
    assert_eq!((world.sagas().len(), world.database.unemitted()), (1, 1), "committed, not sent");
    world.run(7_000).await;
    assert_eq!(world.world.participants.seen.len(), 0, "its writer may still live");
    world.run(6_000).await;
    assert_eq!(world.sagas()[0].0.phase, Phase::Completed);
    assert_eq!(world.world.participants.seen.len(), 5);
}

#[tokio::test]
async fn two_engines_that_both_own_everything_do_nothing_twice() {
    let mut world = MemoryWorld::new(Box::new(|command| match &*command.step {
        "risk" if command.key.ends_with('7') => Behaviour::Fails,
        _ => Behaviour::AnswersTwice,
    }));
    let mut peer = another(&world);
    for n in 0..200 {
        begin(&world, &format!("k{n}"));
        if n % 10 == 0 {
            world.run(20).await;
        }
        peer.step(&world.world.stop).await.unwrap();
    }
    for _ in 0..200 {
        world.run(20).await;
        peer.step(&world.world.stop).await.unwrap();
    }
    let sagas = world.sagas();
    assert_eq!(sagas.len(), 200);
    let compensated = sagas.iter().filter(|(saga, _)| saga.phase == Phase::Compensated).count();
    let completed = sagas.iter().filter(|(saga, _)| saga.phase == Phase::Completed).count();
    assert_eq!((completed, compensated), (180, 20));
}

#[tokio::test]
async fn the_same_trigger_again_is_a_duplicate_and_other_data_are_parked() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    begin(&world, "k");
    begin(&world, "k");
    world.run(2_000).await;
    begin(&world, "k");
    world.run(200).await;
    let plan = world.world.plans.iter().find(|plan| &*plan.definition().name == TRADE).unwrap();
    let definition = plan.definition();
    let data = sagabus::core::Json::parse(trigger_data("k").get().replace("100", "999").as_bytes()).unwrap();
    let other = wire::new_trigger(&definition.trigger_topic, "k", &definition.trigger_type, "t2", "/test", data);
    world.world.broker.publish(&other);
    world.run(200).await;
    assert_eq!(world.sagas().len(), 1);
    assert_eq!(world.world.participants.seen.len(), 5, "every command once");
    let parked = world.database.parked();
    assert_eq!(parked.len(), 1);
    assert!(parked[0].reason.starts_with("conflict: other-trigger"), "{}", parked[0].reason);
}

#[tokio::test]
async fn transaction_markers_at_the_end_of_a_topic_do_not_hold_give_ups_back() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Silent));
    begin(&world, "k");
    world.run(1_000).await;
    for number in [0, 1] {
        world.world.broker.publish_marker(&(format!("{TRADE}.replies").into(), number));
    }
    world.run(7_000).await;
    let (saga, _) = world.sagas().remove(0);
    assert_eq!(saga.phase, Phase::Compensating, "given up");
    let (_, next, gaps, _) = world.database.offset(&(format!("{TRADE}.replies").into(), 0)).unwrap();
    assert_eq!((next, gaps), (1, 1), "the marker is a gap");
}

#[tokio::test]
async fn an_outage_longer_than_patience_compensates_nobody_who_was_answered() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    begin(&world, "k");
    world.run(40).await;
    // The engine is away for a minute; its command was answered meanwhile.
    for _ in 0..3_000 {
        world.now = world.now.plus_millis(20);
    }
    world.world.clock.advance(60_000);
    world.database.set_now(world.now);
    world.run(2_000).await;
    let (saga, stored) = world.sagas().remove(0);
    assert_eq!(saga.phase, Phase::Completed);
    let journal: Vec<Transition> = stored.journal.iter().map(|facts| Transition::decode(facts).unwrap()).collect();
    assert!(!journal.iter().flat_map(|row| &row.facts).any(|fact| matches!(fact, Fact::GivenUp { .. })));
}

#[tokio::test]
async fn a_reply_partition_whose_last_marker_is_gone_is_stopped_for_a_person_instead_of_holding_give_ups_for_ever() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Silent));
    let plan = world.world.plans.iter().find(|plan| &*plan.definition().name == TRADE).unwrap();
    let marked: Partition = (Arc::clone(&plan.definition().reply_topic), 0);
    // The reader passes a marker by that Postgres does not know of yet, and retention removes it.
    world.world.broker.publish_marker(&marked);
    begin(&world, "k");
    world.run(500).await;
    world.world.broker.truncate(&marked, 1);
    world.run(120_000).await;
    assert_eq!(world.database.stopped(), std::slice::from_ref(&marked));
    assert_eq!(world.sagas()[0].0.phase, Phase::Running, "nothing is given up blind");
    assert!(world.database.seek(&marked, 1));
    world.run(10_000).await;
    assert_ne!(world.sagas()[0].0.phase, Phase::Running);
}

#[tokio::test]
async fn an_operator_is_heard_within_a_second_and_refused_with_what_can_be_done() {
    let mut world = MemoryWorld::new(Box::new(|command| match (&*command.step, command.action) {
        ("clearing", Action::Do) => Behaviour::Silent,
        _ => Behaviour::Answers,
    }));
    begin(&world, "k");
    world.run(500).await;
    let saga_id = world.sagas()[0].0.id;
    let ask = |n: u128, verb| Operation {
        id: Uuid::from_u128(n),
        verb,
        who: "ada".into(),
        reason: "test".into(),
        expect_seq: None,
    };
    world.database.ask(saga_id, ask(1, Verb::Cancel));
    world.database.ask(saga_id, ask(2, Verb::Resume));
    world.database.ask(Uuid::from_u128(7), ask(3, Verb::Cancel));
    world.run(1_000).await;
    let outcome = |n| world.database.outcome(Uuid::from_u128(n)).unwrap();
    assert_eq!(outcome(1).state, OperationState::Decided);
    assert_eq!(outcome(2).state, OperationState::Refused);
    assert!(outcome(2).message.unwrap().contains("can: "));
    assert_eq!(outcome(3).state, OperationState::Unknown);
    world.run(8_000).await;
    assert_eq!(world.sagas()[0].0.phase, Phase::Cancelled);
}

#[tokio::test]
async fn replay_decides_every_recorded_input_as_it_was() {
    let mut world = MemoryWorld::new(Box::new(|command| match (&*command.step, command.key.as_bytes()[1] % 4) {
        ("risk", b'1') | ("verify", _) => Behaviour::Fails,
        ("clearing", 0) => Behaviour::AnswersLate(7_000),
        ("clearing", 1) => Behaviour::FailsAtFirst(2),
        ("notification", 2) => Behaviour::AnswersTwice,
        _ => Behaviour::Answers,
    }));
    for n in 0..12 {
        begin(&world, &format!("k{n}"));
    }
    world.run(15_000).await;
    let plan = world.world.plans.iter().find(|plan| &*plan.definition().name == TRADE).unwrap();
    for (saga, stored) in world.sagas() {
        let journal = replay::decode(stored.journal.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(replay::run(plan, saga.id, &journal).unwrap(), None, "{}", saga.business_key);
        assert_eq!(replay::run_with(plan, plan, saga.id, &journal).unwrap(), None, "{}", saga.business_key);
        assert!(replay::verify(plan.definition(), &stored.row, &journal).is_empty());
        let mut broken = journal.clone();
        broken.truncate(journal.len() - 1);
        assert!(!replay::verify(plan.definition(), &stored.row, &broken).is_empty(), "a difference is found");
    }
}

#[tokio::test]
async fn a_process_ends_for_its_younger_namesake_however_it_lost_its_place() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    let (store, seen) = {
        let fires = Rc::new(Cell::new(false));
        let fault = Rc::clone(&fires);
        let lost =
            move |_: &Change| fault.get().then(|| Fault::Before(StoreError::Unknown("connection lost".to_owned())));
        (Faulty::new(world.database.store(), lost), fires)
    };
    let bus = world.world.broker.connect(partitions(&world));
    let mut old = Engine::new(store, bus, world.world.clock.clone(), named("one"));
    old.step(&world.world.stop).await.unwrap();
    let mut young = reading(&world, partitions(&world), named("one"));
    young.step(&world.world.stop).await.unwrap();
    // Not fenced, as far as it can tell: its database was away.
    seen.set(true);
    begin(&world, "k");
    let mut ended = Ok(0);
    for _ in 0..5 {
        world.now = world.now.plus_millis(3_000);
        world.world.clock.advance(3_000);
        world.database.set_now(world.now);
        ended = old.step(&world.world.stop).await;
        if ended.is_err() {
            break;
        }
    }
    assert!(matches!(ended, Err(EngineError::Superseded(name)) if name == "one"));
    young.step(&world.world.stop).await.unwrap();
}

#[tokio::test]
async fn partitions_that_are_added_later_are_read_from_their_beginning_whatever_from_says() {
    let world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    let topic: Arc<str> = world
        .world
        .plans
        .iter()
        .find(|plan| &*plan.definition().name == TRADE)
        .map(|plan| Arc::clone(&plan.definition().trigger_topic))
        .unwrap();
    let replies: Arc<str> = format!("{TRADE}.replies").into();
    let latest = Settings { from: From::Latest, ..settings() };
    ["old-a", "old-b"].into_iter().for_each(|key| begin(&world, key));
    let mut first = reading(&world, vec![(Arc::clone(&topic), 0), (Arc::clone(&replies), 0)], latest.clone());
    first.step(&world.world.stop).await.unwrap();
    // Its peer gets the other partition of the same topic, which is known by now: not the records of before, but all of after.
    ["new-a", "new-b"].into_iter().for_each(|key| begin(&world, key));
    let mut second = reading(&world, vec![(Arc::clone(&topic), 1)], latest.clone());
    world.world.broker.grow(&topic, 3);
    begin(&world, "grown");
    assert_eq!(world.world.broker.records(&topic).last().unwrap().partition(), 2, "its key chooses the new one");
    let mut third = reading(&world, vec![(Arc::clone(&topic), 2)], latest);
    for _ in 0..3 {
        first.step(&world.world.stop).await.unwrap();
        second.step(&world.world.stop).await.unwrap();
        third.step(&world.world.stop).await.unwrap();
    }
    let mut keys: Vec<String> = world.sagas().iter().map(|(saga, _)| saga.business_key.to_string()).collect();
    keys.sort();
    assert_eq!(keys, ["grown", "new-a", "new-b"]);
}

#[tokio::test]
async fn an_active_definition_of_a_newer_version_ends_the_process_rather_than_lose_its_triggers() {
    let world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    let mut engine = another(&world);
    engine.step(&world.world.stop).await.unwrap();
    let newer =
        DefinitionRow { hash: Sha256::of(b"newer"), name: "newer".into(), version: 1, body: "saga: v2".to_owned() };
    world.database.deploy(&[newer], false).unwrap();
    begin(&world, "k");
    let ended = engine.step(&world.world.stop).await;
    assert!(matches!(&ended, Err(EngineError::Newer(what)) if what.contains("newer v1")), "{ended:?}");
    assert!(world.sagas().is_empty(), "the record is not judged");
}

#[tokio::test]
async fn an_engine_that_never_reached_its_database_stops_at_once() {
    let world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    let mut engine = another(&world);
    let stop = sagabus::engine::Stop::default();
    stop.request();
    engine.run(&stop).await.unwrap();
    assert!(!engine.health().is_ready());
}

#[tokio::test]
async fn wake_ups_that_come_to_nothing_cost_no_statement() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Silent));
    let store = Faulty::new(world.database.store(), |_| None);
    let seen = Rc::clone(&store.seen);
    // The broker acknowledges nothing, so that nothing that is due can be decided.
    let mut bus = world.world.broker.connect(partitions(&world));
    bus.cut_off(true);
    let mut engine = Engine::new(store, bus, world.world.clock.clone(), settings());
    begin(&world, "k");
    turn(&mut world, &mut engine, 100).await;
    let statements = seen.borrow().changes.len();
    assert!((4..=8).contains(&statements), "a start, and a heartbeat every 2 s: {statements} statements in 10 s");
}

#[tokio::test]
async fn a_partition_whose_beginning_nobody_can_tell_does_not_disturb_the_others() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Silent));
    let store = Faulty::new(world.database.store(), |_| None);
    let seen = Rc::clone(&store.seen);
    let mut given = partitions(&world);
    let unknown = (Arc::clone(&given[0].0), 99);
    given.push(unknown);
    let bus = world.world.broker.connect(given);
    let mut engine = Engine::new(store, bus, world.world.clock.clone(), settings());
    begin(&world, "k");
    turn(&mut world, &mut engine, 45).await;
    let (_, stored) = world.sagas().remove(0);
    let journal: Vec<Transition> = stored.journal.iter().map(|facts| Transition::decode(facts).unwrap()).collect();
    let resent = journal.iter().flat_map(|row| &row.facts).filter(|fact| matches!(fact, Fact::Resent { .. })).count();
    assert_eq!((resent, seen.borrow().loads), (4, 0), "the saga stays in memory with its timer");
}

#[tokio::test]
async fn a_turn_that_was_dropped_half_way_loses_no_record() {
    let world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    let hangs = Rc::new(Cell::new(false));
    let fault = Rc::clone(&hangs);
    let store = Faulty::new(world.database.store(), move |_| fault.get().then_some(Fault::Hangs));
    let bus = world.world.broker.connect(partitions(&world));
    let mut engine = Engine::new(store, bus, world.world.clock.clone(), settings());
    engine.step(&world.world.stop).await.unwrap();
    engine.step(&world.world.stop).await.unwrap();
    begin(&world, "k");
    hangs.set(true);
    let mut context = Context::from_waker(Waker::noop());
    let is_pending = pin!(engine.step(&world.world.stop)).poll(&mut context).is_pending();
    assert!(is_pending, "the statement hangs, and the future is dropped with the record in hand");
    hangs.set(false);
    for _ in 0..5 {
        engine.step(&world.world.stop).await.unwrap();
    }
    assert_eq!(world.sagas().len(), 1);
}

fn seen(world: &MemoryWorld, step: &str) -> usize {
    world.world.participants.seen.iter().filter(|command| &*command.step == step).count()
}

#[tokio::test]
async fn an_engine_sends_nothing_of_a_held_participant_and_goes_on_at_once_when_it_is_released() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    let hold = world.database.hold(HoldTarget::Participant("risk".into())).unwrap();
    begin(&world, "k");
    world.run(120_000).await;
    assert_eq!((seen(&world, "clearing"), seen(&world, "risk")), (1, 0));
    assert_eq!(world.sagas()[0].0.phase, Phase::Running);
    assert!(world.database.release(hold));
    world.run(3_000).await;
    assert_eq!((world.sagas()[0].0.phase, seen(&world, "risk")), (Phase::Completed, 1));
    let (saga, stored) = &world.sagas()[0];
    let plan = world.world.plans.iter().find(|plan| plan.definition().hash == saga.definition).unwrap();
    let journal = replay::decode(stored.journal.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(replay::run(plan, saga.id, &journal), Ok(None), "decided again from its journal alone");
}

#[tokio::test]
async fn what_an_engine_left_held_is_gone_on_with_by_another_one_after_the_release() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    let hold = world.database.hold(HoldTarget::Definition("trade-settlement".into())).unwrap();
    (0..30).for_each(|number| begin(&world, &format!("k{number}")));
    world.run(2_000).await;
    assert_eq!((world.sagas().len(), seen(&world, "order")), (30, 0));
    // It knows nothing of them: none is due, and none is in its memory.
    world.world.engine = another(&world);
    world.run(60_000).await;
    assert_eq!(seen(&world, "order"), 0);
    assert!(world.database.release(hold));
    world.run(10_000).await;
    assert!(world.sagas().iter().all(|(saga, _)| saga.phase == Phase::Completed));
}
