//! What happens in a workload that is not left to chance: answers of participants, and what people ask.

use sagabus::core::{Action, Verb};

use super::race::Contest;

/// Everything else succeeds at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) lines: Vec<Line>,
    /// What an operator asks of every saga, and when, in milliseconds.
    pub(crate) asked: Vec<(i64, Verb)>,
    /// Operators who look at the same moment, and act on what they saw.
    pub(crate) contest: Option<Contest>,
}

/// What a participant says to one command of each saga.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) step: String,
    pub(crate) action: Action,
    /// `None`: to every attempt.
    pub(crate) attempt: Option<u16>,
    pub(crate) says: Says,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// It will never happen.
    No,
    /// Not now.
    Busy,
    /// Done, so many milliseconds later.
    Late(u32),
    /// It works on it, and is done so many milliseconds later.
    Progress(u32),
    /// Done; nobody hears of it unless it is asked so often.
    Silent(u32),
}

impl Script {
    /// What is said to this command; `None`: chance decides.
    pub(crate) fn says(&self, step: &str, action: Action, attempt: u16) -> Option<Says> {
        let is_meant = |line: &&Line| {
            line.step == step && line.action == action && line.attempt.is_none_or(|meant| meant == attempt)
        };
        self.lines.iter().find(is_meant).map(|line| line.says)
    }
}
