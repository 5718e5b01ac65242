//! What a person holds: a step, all steps of a definition, all of a participant. Nothing of them is sent until they are released.

use std::fmt;
use std::sync::Arc;

use crate::core::{Definition, Step, Timestamp};

/// Wake-ups from here on wait for a release: of all that was held at a generation of the catalogue, in milliseconds behind this moment
/// (year 9000). So whoever knows the generation of the latest release knows which sagas to look at, however it was told.
const WAITS_FROM: Timestamp = Timestamp::from_millis(221_845_392_000_000);

/// When a saga is to be looked at that waits for the release of what was held at this generation.
pub fn wakes_at_release(generation: i64) -> Timestamp {
    WAITS_FROM.plus_millis(generation.unsigned_abs())
}

/// True for a wake-up that waits for a release up to this generation.
pub(super) fn is_released(wake_at: Timestamp, released: i64) -> bool {
    (WAITS_FROM..wakes_at_release(released)).contains(&wake_at)
}

/// What is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldTarget {
    /// Every step of this definition, whatever its version.
    Definition(Arc<str>),
    /// A step of a definition, whatever its version.
    Step {
        /// The definition's name.
        definition: Arc<str>,
        /// The step's name.
        step: Arc<str>,
    },
    /// Every step of every definition that talks to this participant.
    Participant(Arc<str>),
}

impl HoldTarget {
    /// True when this step of the definition is held by it.
    pub fn covers(&self, definition: &str, step: &Step) -> bool {
        match self {
            Self::Definition(name) => **name == *definition,
            Self::Step { definition: name, step: held } => **name == *definition && *held == step.name,
            Self::Participant(name) => *name == step.participant && step.waits.is_none(),
        }
    }
}

impl fmt::Display for HoldTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Definition(name) => write!(f, "definition {name}"),
            Self::Step { definition, step } => write!(f, "step {definition}/{step}"),
            Self::Participant(name) => write!(f, "participant {name}"),
        }
    }
}

/// Since when each step of the definition is held, by the oldest hold of it, in file order; empty where none is.
pub fn held_steps(holds: &[HoldRow], definition: &Definition) -> Vec<Option<Timestamp>> {
    let since = |step| {
        let of_step = holds.iter().filter(|hold| hold.target.covers(&definition.name, step));
        of_step.map(|hold| hold.since).min()
    };
    let held: Vec<Option<Timestamp>> = definition.steps.iter().map(since).collect();
    if held.iter().any(Option::is_some) { held } else { Vec::new() }
}

/// A hold in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    /// Its number.
    pub id: i64,
    /// What is held.
    pub target: HoldTarget,
    /// Since when.
    pub since: Timestamp,
    /// Who holds it.
    pub who: String,
    /// Why.
    pub reason: String,
}
