//! The straight line: poll, decode, decide, dispatch, commit, emit. One task, no thread of its own, no clock but the one it is given.
//!
//! ```text
//!            bus.arrived                      store.commit            bus.emit
//! records ---------------> Batch --> judge --> Change ------> rows -------------> commands
//! timers, operations ------^   ^                                                       |
//! commands refused for good ---|------------------- bus.delivered <--------------------+
//! ```
//! Stands between `bus` (records in, commands out) and `store` (one statement a batch). Nothing here knows SQL, Kafka or a saga's
//! rules. Must hold: no command leaves before its facts are committed.

mod aside;
mod batch;
mod cache;
mod catalog;
mod change;
mod chores;
mod clock;
mod emission;
mod giveup;
mod judge;
mod meters;
mod positions;
mod reconnect;
mod recovery;
mod redrive;
mod route;
mod settle;
mod status;
mod suspects;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use uuid::Uuid;

use crate::bus::{Arrival, Bus, From};
use crate::core::{Input, Partition, Timestamp, limits};
use crate::definition::Compiled;
use crate::store::{Fence, Store, StoreError};

use aside::Silence;
use batch::{Arrived, Batch, InputId};
use cache::Cache;
use catalog::Catalog;
use chores::Chores;
use clock::DatabaseTime;
use emission::Emission;
use giveup::Gates;
use positions::Positions;
use route::Meaning;
use suspects::Suspects;

pub use chores::SILENT_MS;
pub use clock::Clock;
pub use clock::SystemClock;
pub use clock::wall_clock;
pub use recovery::EngineError;
pub use redrive::Reader;
pub use redrive::Reading;
pub use redrive::put_aside;
pub use status::Health;
pub use status::Stop;

/// How long to wait for records while the broker takes none: acknowledgements are looked for that often.
const BEHIND: Duration = Duration::from_millis(20);
/// How long an engine that stops waits for the broker.
const DRAIN: Duration = Duration::from_secs(6);

/// What an engine is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A stable name: a restarted process of this name takes over its predecessor at once.
    pub instance: Option<Arc<str>>,
    /// Where a trigger topic begins that holds records and was never read.
    pub from: From,
    /// Chance as an argument: spreads retries of contended statements.
    pub seed: u64,
}

/// One engine: one writer, as the database knows it.
#[derive(Debug)]
pub struct Engine<S, B, C> {
    store: S,
    bus: B,
    clock: C,
    settings: Settings,
    health: Arc<Health>,
    time: DatabaseTime,
    fence: Fence,
    age: Option<i64>,
    catalog: Catalog,
    subscribed: Vec<Arc<str>>,
    cache: Cache,
    positions: Positions,
    emission: Emission,
    gates: Gates,
    chores: Chores,
    silence: Silence,
    suspects: Suspects,
    /// Inputs that the last turn led to.
    pending: Vec<(Uuid, Input)>,
    /// True from the beginning of a turn to its end.
    is_turning: bool,
    /// Partitions that cannot be read from where they stand, and why: stopped when nothing of them is in hand any more.
    outside: Vec<(Partition, String)>,
}

impl<S: Store, B: Bus, C: Clock> Engine<S, B, C> {
    /// An engine that has not started: `run` registers it.
    pub fn new(store: S, bus: B, clock: C, settings: Settings) -> Self {
        Self {
            store,
            bus,
            clock,
            settings,
            health: Arc::default(),
            time: DatabaseTime::default(),
            fence: Fence::default(),
            age: None,
            catalog: Catalog::default(),
            subscribed: Vec::new(),
            cache: Cache::default(),
            positions: Positions::default(),
            emission: Emission::default(),
            gates: Gates::default(),
            chores: Chores::default(),
            silence: Silence::default(),
            suspects: Suspects::default(),
            pending: Vec::new(),
            is_turning: false,
            outside: Vec::new(),
        }
    }

    /// Definitions that are compiled already: those of them that Postgres names are not compiled again.
    #[must_use]
    pub fn with_plans(mut self, plans: impl IntoIterator<Item = Arc<Compiled>>) -> Self {
        self.catalog.know(plans);
        self
    }

    /// What others may know of it while it runs.
    pub fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    /// Runs until `stop` is requested, then drains: finishes the batch in hand, waits for the broker, deletes what is acknowledged.
    ///
    /// # Errors
    /// A younger process of the same name has registered, or a defect of ours was found: see `EngineError`.
    pub async fn run(&mut self, stop: &Stop) -> Result<(), EngineError> {
        while !stop.is_requested() {
            self.step(stop).await?;
        }
        // What is not drained is sent by whoever takes over.
        AssertUnwindSafe(self.drain()).catch_unwind().await.unwrap_or_else(|_| self.crashed())
    }

    /// One turn of the line, with whatever has to be done before it can turn or after it could not. Returns the number of inputs. After
    /// a panic the next one begins anew.
    ///
    /// # Errors
    /// As `run`.
    pub async fn step(&mut self, stop: &Stop) -> Result<usize, EngineError> {
        // Nothing of what a panic leaves half done is used again: it is as if the process had ended.
        match AssertUnwindSafe(self.step_or_panic(stop)).catch_unwind().await {
            Ok(stepped) => stepped,
            Err(_) => self.crashed().map(|()| 0),
        }
    }

    async fn step_or_panic(&mut self, stop: &Stop) -> Result<usize, EngineError> {
        if self.is_turning {
            // The last turn was dropped half way: what it had in hand is in nobody's, and is read again.
            self.health.set_ready(false);
        }
        if !self.health.is_ready() {
            self.recover(stop).await?;
        }
        if stop.is_requested() {
            return Ok(0);
        }
        self.is_turning = true;
        let turned = self.turn().await;
        self.is_turning = false;
        self.suspects.let_go();
        match turned {
            Ok(inputs) => {
                self.stand_aside_if_unheard().await;
                Ok(inputs)
            }
            Err(error) => self.mend(error).await.map(|()| 0),
        }
    }

    /// Takes what has arrived, commits it as one statement, then sends what is now safe to send. Returns the number of inputs; 0
    /// when it was quiet.
    ///
    /// # Errors
    /// Whether the statement committed is unknown, or it did not; nothing was sent. The caller does what a restart does.
    async fn turn(&mut self) -> Result<usize, StoreError> {
        self.housekeep().await?;
        let (most, wait) = if self.emission.is_full() { (0, BEHIND) } else { (limits::BATCH_RECORDS, self.patience()) };
        let arrivals = self.bus.arrived(most, wait).await;
        let mut batch = Batch { now: self.now(), generation: self.catalog.generation(), ..Batch::default() };
        for arrival in arrivals {
            self.take_in(arrival, &mut batch).await?;
        }
        let delivered = self.bus.delivered();
        self.listened(!delivered.is_empty());
        let refused = self.emission.take_in(delivered);
        batch.wakes.append(&mut self.pending);
        batch.wakes.extend(refused);
        self.chores(&mut batch).await?;
        self.wake(&mut batch).await?;
        self.suspects.withhold(&mut batch);
        self.health.turned();
        let inputs = batch.len();
        if inputs > 0 || !batch.refused.is_empty() || !batch.ends.is_empty() || self.chores.heartbeat_is_due(batch.now)
        {
            self.settle(batch).await?;
        }
        Ok(inputs)
    }

    /// One thing that the bus reports. When partitions change hands, what is in hand of them is dropped: its offsets may have moved.
    async fn take_in(&mut self, arrival: Arrival, batch: &mut Batch) -> Result<(), StoreError> {
        match arrival {
            Arrival::Record(record, event) => {
                let partition: Partition = (Arc::clone(record.topic()), record.partition());
                let Some(next) = self.positions.next(&partition) else { return Ok(()) };
                if record.offset() >= next {
                    let id = InputId::Record(partition.clone(), record.offset());
                    let meaning = self.meaning(&id, |catalog| route::route(catalog, &record, event.as_ref()));
                    batch.records.push(Arrived { record, event, partition, meaning });
                }
            }
            Arrival::Assigned(partitions) => {
                batch.drop_records();
                self.assigned(partitions).await?;
            }
            Arrival::Revoked(partitions) => {
                batch.drop_records();
                self.suspects.forget_records(&partitions);
                for partition in partitions {
                    self.positions.remove(&partition);
                }
                self.cache.clear();
            }
            Arrival::Stopped { partition, reason } => self.outside.push((partition, reason)),
        }
        Ok(())
    }

    /// What an input means, unless it has crashed the engine too often to be looked at. To read changes nothing: a defect there costs the
    /// input alone.
    fn meaning(&self, id: &InputId, read: impl FnOnce(&Catalog) -> Meaning) -> Meaning {
        if self.suspects.is_guilty(id) {
            return suspects::not_looked_at();
        }
        catch_unwind(AssertUnwindSafe(|| read(&self.catalog))).unwrap_or_else(|_| suspects::not_looked_at())
    }

    fn now(&self) -> Timestamp {
        self.time.now(&self.clock)
    }

    /// How long the bus may wait for records: until the next timer or chore.
    fn patience(&self) -> Duration {
        let now = self.now();
        let next = self.cache.next_timer().into_iter().chain([self.chores.next_at()]).min().unwrap_or(now);
        if self.pending.is_empty() { Duration::from_millis(next.millis_since(now)) } else { Duration::ZERO }
    }
}
