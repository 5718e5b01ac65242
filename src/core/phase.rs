//! Where a saga stands: what Postgres, announcements and people are told of it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a saga stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Going forward.
    Running,
    /// Undoing what was done.
    Compensating,
    /// Waiting for a person or a late answer.
    Stuck,
    /// Frozen by a person.
    Paused,
    /// Final: every step is done.
    Completed,
    /// Final: everything was undone.
    Compensated,
    /// Final: undone, but for effects that knowingly stay.
    CompensatedWithSkips,
    /// Final: undone at the word of an operator.
    Cancelled,
    /// Final: ended by a person as it stood.
    Abandoned,
}

impl Phase {
    /// All phases; the place in this list is the number that Postgres stores.
    pub const ALL: [Self; 9] = [
        Self::Running,
        Self::Compensating,
        Self::Stuck,
        Self::Paused,
        Self::Completed,
        Self::Compensated,
        Self::CompensatedWithSkips,
        Self::Cancelled,
        Self::Abandoned,
    ];

    /// True for phases that never change.
    pub fn is_final(self) -> bool {
        match self {
            Self::Running | Self::Compensating | Self::Stuck | Self::Paused => false,
            Self::Completed | Self::Compensated | Self::CompensatedWithSkips | Self::Cancelled | Self::Abandoned => {
                true
            }
        }
    }

    /// The phase as people, metrics and events name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Stuck => "stuck",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::CompensatedWithSkips => "compensated_with_skips",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
        }
    }

    /// The phase called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// The number that Postgres stores.
    pub fn number(self) -> i16 {
        let place = Self::ALL.iter().position(|phase| *phase == self).expect("every phase is listed");
        i16::try_from(place).expect("there are nine phases")
    }

    /// The phase that Postgres stores as `number`.
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_found_by_its_name_and_by_its_number() {
        for (phase, number) in Phase::ALL.into_iter().zip(0..) {
            assert_eq!((phase.number(), Phase::from_number(number)), (number, Some(phase)));
            assert_eq!((phase.to_string().as_str(), Phase::parse(phase.name())), (phase.name(), Some(phase)));
        }
        assert_eq!((Phase::from_number(9), Phase::from_number(-1), Phase::parse("")), (None, None, None));
    }
}
