//! What keeps a parked message from entering the line again: the order of its key, the loop guard, and what was done about it already.

use crate::store::{ParkedState, Standing};

use super::failure::{Exit, Failure};

/// A record that was sent down the line this often and is still parked needs a closer look (OPERATIONS.md section 9).
const REDRIVES_MAX: u64 = 3;

/// What keeps a message from entering the line again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Somebody has dealt with it.
    Dealt(ParkedState),
    /// It is asked for, and nobody has judged it yet.
    Asked,
    /// Only the beginning of a record over the limits was kept.
    Cut,
    /// This one of the same key lies before it, and is not among those that are asked for: the order of a key is kept.
    Earlier(i64),
    /// It was asked for so often in vain: the loop guard.
    Often(u64),
}

impl Obstacle {
    /// What keeps a message that stands so, if anything does. `has_value`: a person has written it whole again.
    pub(super) fn of(standing: Standing, has_value: bool, force: bool) -> Option<Self> {
        match standing.state {
            ParkedState::Parked => {}
            dealt @ (ParkedState::Redriven | ParkedState::Discarded) => return Some(Self::Dealt(dealt)),
        }
        if standing.is_asked {
            return Some(Self::Asked);
        }
        if !standing.is_whole && !has_value {
            return Some(Self::Cut);
        }
        let earlier = standing.earlier.filter(|_| !force).map(Self::Earlier);
        let often = (standing.redrives >= REDRIVES_MAX && !force).then_some(Self::Often(standing.redrives));
        earlier.or(often)
    }

    /// It in general, whichever message it keeps.
    pub(super) fn kind(self) -> String {
        match self {
            Self::Dealt(state) => format!("{} already", state.name()),
            Self::Asked => "asked for already, and not judged yet".to_owned(),
            Self::Cut => "only the beginning was kept (parked edit takes it whole)".to_owned(),
            Self::Earlier(_) => "an earlier one of the same key waits".to_owned(),
            Self::Often(_) => format!("entered the line {REDRIVES_MAX} times or more in vain (--force goes on)"),
        }
    }

    /// It for one message, as a failure of the command (exit 4).
    pub(super) fn refuses(self, id: i64) -> Failure {
        let (message, hint) = match self {
            Self::Dealt(state) => (format!("parked message {id} is {} already", state.name()), "parked show tells how"),
            Self::Asked => (
                format!("parked message {id} is asked for already, and nobody has judged it yet"),
                "is a sagabus serve running on this database?",
            ),
            Self::Cut => (
                format!("of parked message {id}, a record over the limits, only the beginning was kept"),
                "write it whole again, and give it with parked edit",
            ),
            Self::Earlier(earlier) => (
                format!("parked message {earlier} of the same key lies before {id}"),
                "name both in one command, which keeps their order; --force if they have nothing to do with each other",
            ),
            Self::Often(times) => (
                format!("parked message {id} entered the line {times} times and is still parked"),
                "parked show tells why; --force if something has changed since",
            ),
        };
        Failure::new(Exit::Refused, message, hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_obstacle_is_told_and_force_takes_away_order_and_loop_guard_alone() {
        let free = Standing { state: ParkedState::Parked, is_whole: true, redrives: 0, is_asked: false, earlier: None };
        assert_eq!(Obstacle::of(free, false, false), None);
        let dealt = Standing { state: ParkedState::Discarded, ..free };
        let (asked, cut) = (Standing { is_asked: true, ..free }, Standing { is_whole: false, ..free });
        for standing in [dealt, asked, cut] {
            assert!(Obstacle::of(standing, false, true).is_some(), "{standing:?}");
        }
        assert_eq!(Obstacle::of(cut, true, false), None, "it was written whole again");
        let (behind, often) = (Standing { earlier: Some(7), ..free }, Standing { redrives: 3, ..free });
        assert_eq!(Obstacle::of(behind, false, false), Some(Obstacle::Earlier(7)));
        assert_eq!(Obstacle::of(often, false, false), Some(Obstacle::Often(3)));
        assert_eq!([behind, often].map(|standing| Obstacle::of(standing, false, true)), [None, None]);
    }
}
