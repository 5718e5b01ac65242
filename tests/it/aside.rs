//! An engine that one side does not answer makes room for its peers, and comes back when it can go on.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sagabus::bus::{From, MemoryBus};
use sagabus::core::{Partition, Phase};
use sagabus::definition::{Compiled, Source};
use sagabus::engine::{Clock, Engine, Health, Settings, Stop};
use sagabus::store::MemoryStore;

use super::support::faulty::{Faulty, Seen};
use super::support::participants::Behaviour;
use super::support::world::{HandClock, MemoryWorld, World, row_of};

/// A clock by which a waiting engine really waits, until the test has moved it.
#[derive(Clone, Debug)]
struct Waits(HandClock);

impl Clock for Waits {
    fn monotonic_micros(&self) -> i64 {
        self.0.monotonic_micros()
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.0.monotonic_micros() + i64::try_from(duration.as_micros()).unwrap();
        poll_fn(|_| if self.0.monotonic_micros() < until { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

/// An engine that turns whenever the world does.
struct Peer {
    turns: Pin<Box<dyn Future<Output = ()>>>,
    health: Arc<Health>,
    seen: Rc<RefCell<Seen>>,
    is_without_database: Rc<Cell<bool>>,
}

impl Peer {
    fn start(world: &MemoryWorld, bus: MemoryBus) -> Self {
        let store: Faulty<MemoryStore> = Faulty::new(world.database.store(), |_| None);
        let (seen, is_without_database) = (Rc::clone(&store.seen), Rc::clone(&store.is_cut_off));
        let settings = Settings { instance: None, from: From::Earliest, seed: 3 };
        let mut engine = Engine::new(store, bus, Waits(world.world.clock.clone()), settings);
        let health = engine.health();
        let turns = Box::pin(async move {
            let stop = Stop::default();
            loop {
                engine.step(&stop).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        Self { turns, health, seen, is_without_database }
    }

    fn turn(&mut self) {
        assert!(self.turns.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }

    fn registrations(&self) -> usize {
        self.seen.borrow().registrations
    }
}

fn partitions(world: &MemoryWorld) -> Vec<Partition> {
    world.world.broker.partitions().into_iter().filter(|(topic, _)| !topic.ends_with(".commands")).collect()
}

fn begin(world: &MemoryWorld, key: &str) {
    world.world.trigger(&world.world.plans[0], key);
}

/// Lets the peer turn alone.
fn alone(world: &mut MemoryWorld, peer: &mut Peer, millis: u64) {
    for _ in 0..millis / 20 {
        world.now = world.now.plus_millis(20);
        world.world.clock.advance(20);
        world.world.broker.set_now(world.now);
        world.database.set_now(world.now);
        peer.turn();
    }
}

async fn together(world: &mut MemoryWorld, peer: &mut Peer, millis: u64) {
    for _ in 0..millis / 20 {
        world.run(20).await;
        peer.turn();
    }
}

#[tokio::test]
async fn an_engine_without_its_database_leaves_its_partitions_to_others_and_joins_again() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    let mut peer = Peer::start(&world, world.world.broker.connect(partitions(&world)));
    together(&mut world, &mut peer, 1_000).await;
    peer.is_without_database.set(true);
    together(&mut world, &mut peer, 9_000).await;
    assert_eq!((world.world.broker.members(), peer.health.is_ready()), (2, false), "it may be back soon");
    together(&mut world, &mut peer, 6_000).await;
    assert_eq!(world.world.broker.members(), 1);
    peer.is_without_database.set(false);
    together(&mut world, &mut peer, 3_000).await;
    assert_eq!((world.world.broker.members(), peer.health.is_ready()), (2, true));
    begin(&world, "k");
    alone(&mut world, &mut peer, 200);
    assert_eq!(world.sagas().len(), 1, "it reads again");
}

#[tokio::test]
async fn what_an_engine_cannot_send_is_sent_by_a_peer_after_a_while() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    let mut bus = world.world.broker.connect(partitions(&world));
    bus.cut_off(true);
    let mut peer = Peer::start(&world, bus);
    begin(&world, "k");
    alone(&mut world, &mut peer, 200);
    assert_eq!((world.sagas().len(), world.database.unemitted()), (1, 1), "committed, not sent");
    alone(&mut world, &mut peer, 29_000);
    assert!(peer.health.is_ready(), "most outages end by themselves");
    together(&mut world, &mut peer, 2_000).await;
    assert_eq!((world.world.broker.members(), peer.health.is_ready()), (1, false));
    together(&mut world, &mut peer, 10_000).await;
    assert_eq!((world.sagas()[0].0.phase, peer.registrations()), (Phase::Completed, 1));
    together(&mut world, &mut peer, 6_000).await;
    assert_eq!((world.database.unemitted(), peer.registrations()), (0, 2), "nothing was left to send for it");
}

#[tokio::test]
async fn while_no_engine_reaches_the_broker_none_registers_again_and_again() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Silent));
    let mut peer = Peer::start(&world, world.world.broker.connect(partitions(&world)));
    begin(&world, "k");
    alone(&mut world, &mut peer, 40_000);
    assert!(peer.health.is_ready(), "silent participants are not a silent broker");
    world.world.broker.set_away(true);
    alone(&mut world, &mut peer, 300_000);
    assert_eq!((peer.health.is_ready(), peer.registrations()), (false, 1));
    let topic = Arc::clone(&world.world.plans[0].definition().steps[0].command_topic);
    let sent = world.world.broker.records(&topic).len();
    world.world.broker.set_away(false);
    alone(&mut world, &mut peer, 5_000);
    assert_eq!((peer.health.is_ready(), peer.registrations()), (true, 2));
    assert!(world.world.broker.records(&topic).len() > sent, "what had waited is sent");
}

/// A peer alone whose saga was sent, is not answered, and is not sent again before its patience ends after 5 s.
fn patient() -> (MemoryWorld, Peer) {
    let yaml = "saga: v1\nname: patient\nversion: 1\ntrigger: {topic: patient.triggers, type: go}\n\
                businessKey: ${trigger.data.orderId}\ndefaults: {timeout: 5s, patience: 5s}\n\
                steps:\n  a: {command: {type: t}, compensate: {type: u}}\n";
    let source = Source { file: "patient.saga.yaml".to_owned(), yaml: yaml.to_owned(), schemas: [].into() };
    let plan = Arc::new(Compiled::load(&source).unwrap());
    let silent = || Box::new(|_: &_| Behaviour::Silent);
    let mut world = MemoryWorld::new(silent());
    world.database.deploy(&[row_of(&source, &plan)], false).unwrap();
    let (store, clock) = (world.database.store(), world.world.clock.clone());
    let plans = [plan].into_iter().chain(world.world.plans).collect();
    world.world = World::new(store, plans, silent(), clock);
    let mut peer = Peer::start(&world, world.world.broker.connect(partitions(&world)));
    begin(&world, "k");
    alone(&mut world, &mut peer, 3_000);
    assert_eq!((world.sagas().len(), world.database.unemitted()), (1, 0), "nothing is on its way");
    (world, peer)
}

#[test]
fn an_engine_whose_questions_nobody_answers_stands_aside_since_it_cannot_give_up_what_it_claims() {
    let (mut world, mut peer) = patient();
    world.world.broker.set_away(true);
    alone(&mut world, &mut peer, 30_000);
    assert!(peer.health.is_ready(), "most outages end by themselves");
    alone(&mut world, &mut peer, 6_000);
    assert_eq!((peer.health.is_ready(), world.world.broker.members()), (false, 0));
    assert_eq!(world.sagas()[0].0.phase, Phase::Running);
    world.world.broker.set_away(false);
    alone(&mut world, &mut peer, 20_000);
    assert_eq!((peer.health.is_ready(), world.world.broker.members()), (true, 1));
    assert_eq!(world.sagas()[0].0.phase, Phase::Compensating);
}

#[test]
fn a_topic_that_is_gone_holds_its_give_ups_back_and_is_not_a_silent_broker() {
    let (mut world, mut peer) = patient();
    world.world.broker.delete(&world.world.plans[0].definition().reply_topic);
    for _ in 0..10 {
        alone(&mut world, &mut peer, 10_000);
        assert!(peer.health.is_ready());
    }
    assert_eq!(world.sagas()[0].0.phase, Phase::Running, "its answer may have been in there");
}
