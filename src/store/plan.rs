//! Bulk actions as the store keeps them: a plan and its items, and what is known of the job that it becomes.

use uuid::Uuid;

use crate::core::{Sha256, Timestamp};

/// Where a plan stands. Applied, it is a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanState {
    /// Nobody has applied it.
    Planned,
    /// A job that goes on.
    Applying,
    /// A job that waits for a person.
    Paused,
    /// Every item was carried out.
    Done,
    /// Some items were refused, or failed.
    Partial,
    /// A person ended it.
    Cancelled,
    /// Nobody applied it while it was valid. Postgres does not store this one.
    Expired,
}

impl PlanState {
    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Planned, Self::Applying, Self::Paused, Self::Done, Self::Partial, Self::Cancelled, Self::Expired];

    /// The name that Postgres stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Applying => "applying",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The state that Postgres calls `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A plan as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPlan {
    /// Over the action and every item.
    pub hash: Sha256,
    /// The verb's name.
    pub verb: &'static str,
    /// The action, as JSON.
    pub request: String,
    /// Which sagas, as it was said.
    pub selected: String,
    /// Who plans.
    pub who: String,
    /// In the order of the sagas' ids, each once.
    pub items: Vec<NewItem>,
}

/// One saga of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// The saga.
    pub saga_id: Uuid,
    /// Where its journal stands.
    pub seq: u32,
    /// What would follow, as JSON.
    pub effect: String,
    /// The plan itself leaves it stuck.
    pub leaves_stuck: bool,
    /// Why it is not eligible.
    pub refusal: Option<String>,
}

/// How a job is applied, as the person said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanPace {
    /// Items a time, such as `20/s`.
    pub rate: String,
    /// In waves, each after the one before it was decided.
    pub ramp: bool,
    /// No more items than this.
    pub items_max: Option<u32>,
    /// Pauses by itself when so many of a hundred go wrong.
    pub stop_percent: Option<u32>,
}

/// How many items became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanProgress {
    /// Not decided yet.
    pub pending: u32,
    /// Carried out.
    pub applied: u32,
    /// Refused: the saga has changed since it was planned.
    pub refused: u32,
    /// There is no such saga any more, or its journal cannot be read.
    pub failed: u32,
    /// Not eligible, beyond the maximum, or left when the job ended.
    pub skipped: u32,
    /// Of those that were carried out: stuck again, although the plan said otherwise.
    pub stuck_again: u32,
}

/// A plan, or the job that it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRow {
    /// `p31` is number 31.
    pub number: i64,
    /// Over the action and every item.
    pub hash: Sha256,
    /// The verb's name.
    pub verb: String,
    /// The action, as JSON.
    pub request: String,
    /// Which sagas, as it was said.
    pub selected: String,
    /// How many sagas would be acted on.
    pub eligible: u32,
    /// How many were refused when it was planned.
    pub ineligible: u32,
    /// Who planned.
    pub planned_by: String,
    /// When.
    pub planned_at: Timestamp,
    /// It may be applied until then.
    pub valid_until: Timestamp,
    /// Where it stands.
    pub state: PlanState,
    /// Somebody else has to apply it.
    pub needs_second: bool,
    /// The definitions of its sagas.
    pub definitions: Vec<String>,
    /// Why it waits, or how it ended.
    pub message: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Once it was applied.
    pub job: Option<JobRow>,
}

/// Which plans: those for which everything is true that is said here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanFilter {
    /// This one alone.
    pub number: Option<i64>,
    /// It was applied.
    pub jobs_only: bool,
    /// Each of its sagas is of one of these definitions.
    pub within: Option<Vec<String>>,
    /// With a number below: where the page before it ended.
    pub before: Option<i64>,
}

/// What is known of a plan once it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Who applied it.
    pub applied_by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub applied_at: Timestamp,
    /// How.
    pub pace: PlanPace,
    /// Items whose actions were asked for.
    pub released: u32,
    /// What became of them.
    pub progress: PlanProgress,
}

/// Which items of a plan: those for which everything is true that is said here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemFilter {
    /// `pending`, `applied`, `refused`, `failed` or `skipped`.
    pub state: Option<&'static str>,
    /// Of a saga with a greater id: where the page before it ended.
    pub after: Uuid,
}

/// An item of a plan, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemRow {
    /// The saga.
    pub saga_id: Uuid,
    /// Its key; `None` when there is no such saga any more.
    pub business_key: Option<String>,
    /// Its journal when it was planned.
    pub seq: u32,
    /// 1, 2, 3 ... of what is eligible.
    pub turn: Option<u32>,
    /// What would follow, as JSON.
    pub effect: String,
    /// `pending`, `applied`, `refused`, `failed` or `skipped`.
    pub state: String,
    /// Why it was refused.
    pub message: Option<String>,
    /// Carried out and stuck again.
    pub is_stuck_again: bool,
}

/// A job that this worker has leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedJob {
    /// The plan's number.
    pub number: i64,
    /// The action, as JSON.
    pub request: String,
    /// Who applied it.
    pub who: String,
    /// Why.
    pub reason: String,
    /// How.
    pub pace: PlanPace,
    /// How many sagas would be acted on.
    pub eligible: u32,
    /// How many actions were asked for.
    pub released: u32,
    /// No item goes earlier.
    pub next_at: Timestamp,
    /// Items that were decided, and went wrong, before a person let it go on.
    pub forgiven: (u32, u32),
    /// What became of its items; `pending` and `skipped` are not counted.
    pub progress: PlanProgress,
    /// The database's clock.
    pub now: Timestamp,
}

/// An item that comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextItem {
    /// The saga.
    pub saga_id: Uuid,
    /// Its journal when it was planned.
    pub seq: u32,
    /// The action's id.
    pub operation_id: Uuid,
}
