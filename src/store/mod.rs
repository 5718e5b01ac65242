//! What is kept, behind one trait: `postgres` for real, `memory` for tests and the simulator. Both pass one conformance suite.
//!
//! Stands at the line's `commit`. Must hold: a change is written whole or not at all, and never by a writer that was taken over.

mod change;
mod error;
mod hold;
mod memory;
mod plan;
mod postgres;

use std::sync::Arc;

use uuid::Uuid;

use crate::core::{Operation, Partition, Sha256, Timestamp};

pub use change::Advance;
pub use change::Change;
pub use change::JournalRow;
pub use change::OperationOutcome;
pub use change::OperationState;
pub use change::ParkedMessage;
pub use change::RedriveOutcome;
pub use change::SagaRow;
pub use change::SagaUpdate;
pub use change::Shrunk;
pub use error::StoreError;
pub use hold::HoldRow;
pub use hold::HoldTarget;
pub use hold::held_steps;
pub use hold::wakes_at_release;
pub use memory::MemoryDatabase;
pub use memory::MemoryStore;
pub use plan::ItemFilter;
pub use plan::ItemRow;
pub use plan::JobRow;
pub use plan::LeasedJob;
pub use plan::NewItem;
pub use plan::NewPlan;
pub use plan::NextItem;
pub use plan::PlanFilter;
pub use plan::PlanPace;
pub use plan::PlanProgress;
pub use plan::PlanRow;
pub use plan::PlanState;
pub use postgres::Answered;
pub use postgres::AuditEntry;
pub use postgres::AuditRow;
pub use postgres::Balance;
pub use postgres::ChangedRow;
pub use postgres::ChosenParked;
pub use postgres::Console;
pub use postgres::ConsoleError;
pub use postgres::DroppedPeriod;
pub use postgres::Durability;
pub use postgres::Found;
pub use postgres::Head;
pub use postgres::HoldMade;
pub use postgres::Horizon;
pub use postgres::ImportedSaga;
pub use postgres::JudgedRedrive;
pub use postgres::Keeper;
pub use postgres::Lease;
pub use postgres::ListedDefinition;
pub use postgres::ListedParked;
pub use postgres::ListedSaga;
pub use postgres::LockHolder;
pub use postgres::LockSession;
pub use postgres::LockWait;
pub use postgres::MadePeriod;
pub use postgres::MigrateError;
pub use postgres::MovedSagas;
pub use postgres::NewRedrive;
pub use postgres::NewToken;
pub use postgres::Offender;
pub use postgres::OpenSagas;
pub use postgres::OpenedParked;
pub use postgres::OverPeriod;
pub use postgres::PERIOD_PARENTS;
pub use postgres::ParkedFilter;
pub use postgres::ParkedState;
pub use postgres::PastRedrive;
pub use postgres::PeriodRow;
pub use postgres::PostgresStore;
pub use postgres::RemovalOrder;
pub use postgres::RemovedSagas;
pub use postgres::SagaFilter;
pub use postgres::Sealed;
pub use postgres::Snapshot;
pub use postgres::Standing;
pub use postgres::Stretch;
pub use postgres::TokenRow;
pub use postgres::TokenState;
pub use postgres::Writers;
pub use postgres::check_schema;
pub use postgres::migrate;

/// How long a claimed wake-up is somebody's, in milliseconds: after it the saga is due again.
pub const LEASE_MS: u64 = 10_000;

/// What the engine keeps. One engine owns one store; every method is one statement, or a few where the text says so.
#[expect(async_fn_in_trait, reason = "the engine is one task and needs no Send bound")]
pub trait Store {
    /// Registers a writer, on a new connection when the old one is in doubt. `age` is what the process was given at its first
    /// registration; `None` asks for a new one.
    async fn register(&mut self, instance: Option<&str>, age: Option<i64>) -> Result<Registration, StoreError>;

    /// Writes a change, all or nothing.
    async fn commit(&mut self, fence: &Fence, change: &Change) -> Result<Receipt, StoreError>;

    /// Reads sagas with their whole journals. What is not there is left out.
    async fn load(&mut self, keys: &[SagaKey]) -> Result<Vec<Stored>, StoreError>;

    /// The offsets of those partitions that are known.
    async fn offsets(&mut self, partitions: &[Partition]) -> Result<Vec<PartitionOffset>, StoreError>;

    /// Makes partitions known at their first offsets. One that a peer has added meanwhile keeps the peer's. Returns all of them.
    async fn add_partitions(&mut self, partitions: &[NewPartition]) -> Result<Vec<PartitionOffset>, StoreError>;

    /// Marks a partition as stopped, if it still stands at `at`: nobody reads it until an operator seeks.
    async fn stop_partition(&mut self, partition: &Partition, at: i64, reason: &str) -> Result<(), StoreError>;

    /// Every known partition of a topic.
    async fn offsets_of(&mut self, topic: &str) -> Result<Vec<PartitionOffset>, StoreError>;

    /// The definitions that start sagas, and those that open sagas are pinned to.
    async fn catalogue(&mut self) -> Result<Catalogue, StoreError>;

    /// One definition, whoever uses it.
    async fn definition(&mut self, hash: Sha256) -> Result<Option<DefinitionRow>, StoreError>;

    /// Takes up to `limit` sagas that are due by `overdue_ms`, oldest first, and up to as many that wait for a release up to the
    /// generation `released` (`wakes_at_release`), and moves their wake-ups ahead by `LEASE_MS`. What another writer is claiming at the
    /// moment is passed over.
    async fn claim_due(&mut self, overdue_ms: u64, released: i64, limit: usize) -> Result<Vec<Claim>, StoreError>;

    /// Writers that nobody runs any more: silent for `silent_ms`, or older registrations of this instance name.
    async fn dead_writers(
        &mut self,
        silent_ms: u64,
        instance: Option<&str>,
        fence: &Fence,
    ) -> Result<Vec<DeadWriter>, StoreError>;

    /// Takes over a dead writer: three statements (BATCH.md). Returns what it had committed and not deleted.
    async fn take_over(&mut self, fence: &Fence, dead: &DeadWriter) -> Result<Vec<UnemittedRow>, StoreError>;

    /// Forgets taken-over writers that own nothing any more.
    async fn forget_writers(&mut self, fence: &Fence) -> Result<(), StoreError>;

    /// Deregisters this writer, if nothing of it is left to send.
    async fn resign(&mut self, fence: &Fence) -> Result<(), StoreError>;

    /// Which of these sagas have something to send by any writer.
    async fn unemitted_of(&mut self, sagas: &[Uuid]) -> Result<Vec<Uuid>, StoreError>;

    /// What people ask and nobody has decided, at most `limit` of each kind, oldest first.
    async fn asked(&mut self, limit: usize) -> Result<Asked, StoreError>;

    /// True when a younger process has registered under this name.
    async fn has_younger_namesake(&mut self, instance: &str, age: i64) -> Result<bool, StoreError>;
}

/// What proves that a writer is still the one that the database knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    /// The registration.
    pub writer: i64,
    /// Random, given at registration; a takeover changes it.
    pub incarnation: Uuid,
    /// Number of the writer's latest committed batch: a database that lost commits is noticed by it.
    pub batch: i64,
}

/// A new registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The writer's id.
    pub writer: i64,
    /// The writer's incarnation.
    pub incarnation: Uuid,
    /// 0.
    pub batch: i64,
    /// The process's age: re-registration keeps it.
    pub age: i64,
    /// The database's clock.
    pub now: Timestamp,
}

/// A written change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The batch's number: with the writer's id its name for ever.
    pub batch: i64,
    /// The database's clock.
    pub now: Timestamp,
}

/// How a saga is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SagaKey {
    /// By its id.
    Id(Uuid),
    /// By what is unique of it besides.
    Business {
        /// The definition's name.
        definition_name: Arc<str>,
        /// The business key.
        business_key: Arc<str>,
    },
}

/// A saga as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its small row.
    pub row: SagaRow,
    /// Its facts, a journal row each, from seq 1 on.
    pub journal: Vec<Vec<u8>>,
}

/// A partition that nobody has read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartition {
    /// Which one.
    pub partition: Partition,
    /// Where it begins.
    pub first_offset: i64,
}

/// Where a partition stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOffset {
    /// Which one.
    pub partition: Partition,
    /// The next offset to judge.
    pub next_offset: i64,
    /// Whether it is read.
    pub state: PartitionState,
}

/// Whether a partition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionState {
    /// It is.
    Reading,
    /// It is not, until an operator seeks: its offset lies outside the log, or its topic is another one.
    Stopped,
}

/// The definitions and the holds in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Changes with every deployment that changes anything, every hold and every release.
    pub generation: i64,
    /// The generation at which something was released last; 0: never.
    pub released: i64,
    /// What people hold, oldest first.
    pub holds: Vec<HoldRow>,
    /// What starts sagas.
    pub active: Vec<DefinitionRow>,
    /// What open sagas are pinned to and is not active.
    pub pinned: Vec<DefinitionRow>,
}

/// A stored definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionRow {
    /// SHA-256 of its content.
    pub hash: Sha256,
    /// The saga's name.
    pub name: Arc<str>,
    /// Its version.
    pub version: u32,
    /// Everything that is needed to compile it again, as text.
    pub body: String,
}

/// What a deployment did with one definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deployed {
    /// It is new, or newer than the active one, which it replaced.
    Activated,
    /// It was active already.
    Unchanged,
    /// A newer version is active: skipped.
    Older,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The generation after it.
    pub generation: i64,
    /// What became of each definition, in the order given.
    pub outcomes: Vec<Deployed>,
}

/// A due saga that this writer has claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The saga.
    pub saga_id: Uuid,
    /// Until when the claim holds.
    pub wake_at: Timestamp,
}

/// A writer that nobody runs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadWriter {
    /// Its id.
    pub writer: i64,
    /// Its incarnation as it was seen: whoever changes it first takes over.
    pub incarnation: Uuid,
}

/// A committed batch that is not known to have been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnemittedRow {
    /// The writer that committed it.
    pub writer: i64,
    /// Its number.
    pub batch: i64,
    /// The journal rows whose effects it was to send.
    pub rows: Vec<(Uuid, u32)>,
}

/// What people ask and nobody has decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Actions on sagas.
    pub operations: Vec<PendingOperation>,
    /// Records that are to enter the line again.
    pub redrives: Vec<PendingRedrive>,
}

/// A record that is to enter the line again, as if it were read now: its partition's offset does not move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRedrive {
    /// The request's id.
    pub id: Uuid,
    /// The record; why it was put aside says nothing here.
    pub message: ParkedMessage,
}

/// An operator's action that waits for a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingOperation {
    /// The saga that it is about.
    pub saga_id: Uuid,
    /// What is asked.
    pub operation: Operation,
}
