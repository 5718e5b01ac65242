//! What one statement writes.

use std::sync::Arc;

use uuid::Uuid;

use crate::core::{Phase, Sha256, Timestamp, Verdict};

/// Everything that one batch writes. A saga has at most one entry in `born` and `turned` together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The catalogue's generation that the batch was decided with.
    pub generation: i64,
    /// When it was decided, by the engine's estimate of the database's clock: never written ahead of that clock.
    pub now: Timestamp,
    /// Offsets that move.
    pub partitions: Vec<Advance>,
    /// Journal rows.
    pub journal: Vec<JournalRow>,
    /// New sagas.
    pub born: Vec<SagaRow>,
    /// Those of them whose trigger belonged to a trace: trace, saga.
    pub traces: Vec<(Uuid, Uuid)>,
    /// Sagas with journal rows that are so old that they may have been removed: they must be there (`limits::AGED_MS`).
    pub aged: Vec<Uuid>,
    /// Sagas whose small row changes.
    pub turned: Vec<SagaUpdate>,
    /// Records put aside.
    pub parked: Vec<ParkedMessage>,
    /// Journal rows whose effects are to be sent: the batch's row in `unemitted`.
    pub emitting: Vec<(Uuid, u32)>,
    /// Batches, by writer and number, whose effects the broker has acknowledged: their rows are deleted.
    pub acknowledged: Vec<(i64, i64)>,
    /// Batches of which only this is left to be acknowledged: their rows are made smaller.
    pub shrunk: Vec<Shrunk>,
    /// Operators' actions that this batch decides.
    pub operations: Vec<OperationOutcome>,
    /// Records that entered the line again.
    pub redriven: Vec<RedriveOutcome>,
}

impl Change {
    /// True when it writes nothing but a heartbeat.
    pub fn is_empty(&self) -> bool {
        let Self {
            generation: _,
            now: _,
            partitions,
            journal,
            born,
            traces: _,
            aged: _,
            turned,
            parked,
            emitting,
            acknowledged,
            shrunk,
            operations,
            redriven,
        } = self;
        partitions.is_empty()
            && journal.is_empty()
            && born.is_empty()
            && turned.is_empty()
            && parked.is_empty()
            && emitting.is_empty()
            && acknowledged.is_empty()
            && shrunk.is_empty()
            && operations.is_empty()
            && redriven.is_empty()
    }

    /// What it writes, for people: counts, and the rows of the journal by saga and seq.
    pub fn outline(&self) -> String {
        let rows: Vec<String> =
            self.journal.iter().take(20).map(|row| format!("{}/{}", row.saga_id, row.seq)).collect();
        format!(
            "{} partitions, {} journal rows ({}), {} born, {} turned, {} parked, {} operations, {} redriven",
            self.partitions.len(),
            self.journal.len(),
            rows.join(" "),
            self.born.len(),
            self.turned.len(),
            self.parked.len(),
            self.operations.len(),
            self.redriven.len()
        )
    }
}

/// What is left of a batch that the broker has acknowledged in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// Writer and number.
    pub name: (i64, i64),
    /// Saga and seq of what is left.
    pub rows: Vec<(Uuid, u32)>,
}

/// A partition's offset moves from `from` to `to`: `to - from` is the sum of `counts` and `gaps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The partition's topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// Where it must stand.
    pub from: i64,
    /// Where it will stand.
    pub to: i64,
    /// Offsets between them that hold no record.
    pub gaps: i64,
    /// Records by verdict, in the order of `Verdict::ALL`.
    pub counts: [i64; 7],
}

/// One transition of one saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRow {
    /// The saga.
    pub saga_id: Uuid,
    /// From 1, without holes.
    pub seq: u32,
    /// The encoded `Transition`.
    pub facts: Vec<u8>,
}

/// A saga's small row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaRow {
    /// The saga.
    pub id: Uuid,
    /// The definition that it is pinned to.
    pub definition_hash: Sha256,
    /// The definition's name.
    pub definition_name: Arc<str>,
    /// Unique with the name.
    pub business_key: Arc<str>,
    /// Where it stands.
    pub phase: Phase,
    /// By the database's clock. Not written from here: an insert takes the clock's own value.
    pub started_at: Timestamp,
    /// When its final phase was decided.
    pub finished_at: Option<Timestamp>,
    /// Look at it no later than this.
    pub wake_at: Option<Timestamp>,
    /// `SagaError` as JSON.
    pub error: Option<String>,
}

/// What changes of a saga's small row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaUpdate {
    /// The saga.
    pub id: Uuid,
    /// See `SagaRow`.
    pub phase: Phase,
    /// See `SagaRow`.
    pub finished_at: Option<Timestamp>,
    /// See `SagaRow`.
    pub wake_at: Option<Timestamp>,
    /// See `SagaRow`.
    pub error: Option<String>,
}

/// A record put aside, visible, waiting for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedMessage {
    /// Where it was read.
    pub topic: Arc<str>,
    /// See `topic`.
    pub partition: i32,
    /// See `topic`.
    pub offset: i64,
    /// Verdict, code and what is wrong.
    pub reason: String,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value, or the beginning of one over the limit.
    pub value: Option<Vec<u8>>,
    /// Its headers as `wire::Record::kept_headers` writes them, as far as they are within the limit.
    pub headers: String,
    /// The record's own timestamp: sagas are named by it.
    pub written_at: Timestamp,
    /// False where a record over the limits was cut.
    pub is_whole: bool,
}

/// What became of a record that entered the line again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedriveOutcome {
    /// The request's id.
    pub id: Uuid,
    /// How the record ended this time.
    pub verdict: Verdict,
    /// What is said against it.
    pub message: Option<String>,
    /// It would be put aside again: what was put aside stays so.
    pub stays_parked: bool,
}

/// What became of an operator's action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationOutcome {
    /// The action.
    pub id: Uuid,
    /// What became of it.
    pub state: OperationState,
    /// Why it was refused, in one word.
    pub code: Option<&'static str>,
    /// Why it was refused, for people.
    pub message: Option<String>,
    /// The saga's journal before.
    pub seq_before: Option<u32>,
    /// The saga's journal after.
    pub seq_after: Option<u32>,
}

impl OperationOutcome {
    /// Refused without a look at its saga.
    pub fn refused(id: Uuid, code: &'static str, message: &str) -> Self {
        let (state, code, message) = (OperationState::Refused, Some(code), Some(message.to_owned()));
        Self { id, state, code, message, seq_before: None, seq_after: None }
    }
}

/// What became of an operator's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationState {
    /// Nobody has looked at it.
    Pending,
    /// It was carried out.
    Decided,
    /// The saga's state does not allow it.
    Refused,
    /// There is no such saga.
    Unknown,
}

impl OperationState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Decided, Self::Refused, Self::Unknown];

    /// The name that Postgres stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Decided => "decided",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }

    /// The state that Postgres calls `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}
