//! An engine, a broker in memory and participants, driven by hand in one thread.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sagabus::bus::{From, MemoryBroker, MemoryBus};
use sagabus::core::{Json, Saga, Timestamp, Transition, fold};
use sagabus::definition::{Compiled, Source, read_folder};
use sagabus::engine::{Clock, Engine, Settings, Stop};
use sagabus::store::{DefinitionRow, MemoryDatabase, MemoryStore, Store, Stored};
use sagabus::wire;

use super::participants::{Participants, Script};

/// A clock that a test moves. Waiting moves it too.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandClock {
    micros: Rc<Cell<i64>>,
}

impl HandClock {
    pub(crate) fn advance(&self, millis: u64) {
        self.micros.set(self.micros.get() + i64::try_from(millis * 1_000).unwrap());
    }
}

impl Clock for HandClock {
    fn monotonic_micros(&self) -> i64 {
        self.micros.get()
    }

    async fn sleep(&self, duration: Duration) {
        self.advance(u64::try_from(duration.as_millis()).unwrap());
    }
}

/// The examples of `sagas/`, compiled.
pub(crate) fn examples() -> Vec<(Source, Arc<Compiled>)> {
    let found = read_folder(Path::new("sagas")).unwrap_or_else(|report| panic!("{report}"));
    found.into_iter().map(|(source, compiled)| (source, Arc::new(compiled))).collect()
}

/// What the store keeps of a definition.
pub(crate) fn row_of(source: &Source, compiled: &Compiled) -> DefinitionRow {
    let definition = compiled.definition();
    DefinitionRow {
        hash: definition.hash,
        name: Arc::clone(&definition.name),
        version: definition.version,
        body: source.body(),
    }
}

/// Trigger data that every example accepts.
pub(crate) fn trigger_data(key: &str) -> Json {
    let text = format!(
        r#"{{"orderId":"{key}","mediaId":"{key}","deviceId":"{key}","account":"a","customer":"c","author":"u","firmware":"f1","amount":100,"seconds":90,"items":[{{"sku":"s","quantity":1}}]}}"#
    );
    Json::parse(text.as_bytes()).unwrap()
}

/// One engine on a store, with everything around it in memory.
pub(crate) struct World<S, C = HandClock> {
    pub(crate) broker: MemoryBroker,
    pub(crate) engine: Engine<S, MemoryBus, C>,
    pub(crate) participants: Participants,
    pub(crate) plans: Vec<Arc<Compiled>>,
    pub(crate) clock: C,
    pub(crate) stop: Stop,
    command_topics: Vec<Arc<str>>,
}

impl<S: Store, C: Clock + Clone> World<S, C> {
    pub(crate) fn new(store: S, plans: Vec<Arc<Compiled>>, script: Script, clock: C) -> Self {
        let broker = MemoryBroker::default();
        let mut partitions = Vec::new();
        let mut command_topics: Vec<Arc<str>> = Vec::new();
        for plan in &plans {
            let definition = plan.definition();
            for topic in [&definition.trigger_topic, &definition.reply_topic] {
                broker.create(topic, 2);
                partitions.extend([(Arc::clone(topic), 0), (Arc::clone(topic), 1)]);
            }
            command_topics.extend(definition.commanding().map(|step| Arc::clone(&step.command_topic)));
        }
        command_topics.sort();
        command_topics.dedup();
        let settings = Settings { instance: None, from: From::Earliest, seed: 1 };
        let engine = Engine::new(store, broker.connect(partitions), clock.clone(), settings);
        let participants = Participants::new(broker.clone(), script);
        Self { broker, engine, participants, plans, clock, stop: Stop::default(), command_topics }
    }

    /// Publishes a trigger of `plan` with this business key.
    pub(crate) fn trigger(&self, plan: &Compiled, key: &str) {
        let definition = plan.definition();
        let id = format!("trigger-{key}");
        let data = trigger_data(key);
        self.broker.publish(&wire::new_trigger(
            &definition.trigger_topic,
            key,
            &definition.trigger_type,
            &id,
            "/test",
            data,
        ));
    }

    /// One turn of the engine and of the participants at `now`.
    pub(crate) async fn turn(&mut self, now: Timestamp) {
        self.broker.set_now(now);
        self.engine.step(&self.stop).await.expect("the engine goes on");
        self.participants.run(&self.command_topics, now);
    }
}

/// A world in memory, by virtual time.
pub(crate) struct MemoryWorld<S = MemoryStore> {
    pub(crate) world: World<S>,
    pub(crate) database: MemoryDatabase,
    pub(crate) now: Timestamp,
}

impl MemoryWorld {
    pub(crate) fn new(script: Script) -> Self {
        Self::on(script, MemoryDatabase::store)
    }
}

impl<S: Store> MemoryWorld<S> {
    /// A world whose engine reaches the database by `store`.
    pub(crate) fn on(script: Script, store: impl FnOnce(&MemoryDatabase) -> S) -> Self {
        let examples = examples();
        let database = MemoryDatabase::default();
        let now = Timestamp::from_millis(1_700_000_000_000);
        database.set_now(now);
        let rows: Vec<DefinitionRow> = examples.iter().map(|(source, compiled)| row_of(source, compiled)).collect();
        database.deploy(&rows, false).unwrap();
        let plans = examples.into_iter().map(|(_, compiled)| compiled).collect();
        Self { world: World::new(store(&database), plans, script, HandClock::default()), database, now }
    }

    /// Runs for this long, in steps of 20 ms.
    pub(crate) async fn run(&mut self, millis: u64) {
        for _ in 0..millis / 20 {
            self.now = self.now.plus_millis(20);
            self.world.clock.advance(20);
            self.database.set_now(self.now);
            self.world.turn(self.now).await;
        }
    }

    /// Every saga, folded from its journal, with its stored row.
    pub(crate) fn sagas(&self) -> Vec<(Saga, Stored)> {
        fold_all(&self.world.plans, self.database.sagas())
    }
}

/// Folds stored sagas.
pub(crate) fn fold_all(plans: &[Arc<Compiled>], stored: Vec<Stored>) -> Vec<(Saga, Stored)> {
    let fold_one = |stored: Stored| {
        let plan =
            plans.iter().find(|plan| plan.definition().hash == stored.row.definition_hash).expect("it is deployed");
        let journal: Vec<Transition> = stored.journal.iter().map(|facts| Transition::decode(facts).unwrap()).collect();
        (fold(plan.definition(), stored.row.id, &journal).unwrap(), stored)
    };
    stored.into_iter().map(fold_one).collect()
}
