//! What a case sends, as data. A case counts its sagas from 0; the stage gives each an id and a business key of its own.

use crate::core::Action;

/// A command of a case: its id is derived from these three, so that sending it again is sending the same command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    pub(super) saga: usize,
    pub(super) action: Action,
    pub(super) attempt: u16,
}

impl Name {
    /// The first `do` of a saga.
    pub(super) fn doing(saga: usize) -> Self {
        Self { saga, action: Action::Do, attempt: 1 }
    }

    /// The first `undo` of a saga.
    pub(super) fn undoing(saga: usize) -> Self {
        Self { saga, action: Action::Undo, attempt: 1 }
    }

    /// The same with a new id.
    pub(super) fn attempt(self, attempt: u16) -> Self {
        Self { attempt, ..self }
    }
}

/// Which data a command carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Data {
    /// What the participant accepts.
    Good,
    /// Good data, changed: not the bytes that this id had before.
    Changed,
    /// What the participant refuses.
    Failing,
}

/// A partition, as long as it is not known how many there are. The opposite of one is half of them away: two consumers that share
/// them in ranges come to opposite records at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lane {
    number: usize,
    is_opposite: bool,
}

impl Lane {
    /// Its number among this many partitions.
    pub(super) fn among(self, partitions: usize) -> usize {
        let across = if self.is_opposite { (partitions / 2).max(1) } else { 0 };
        (self.number + across) % partitions.max(1)
    }
}

/// A command on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Letter {
    pub(super) name: Name,
    pub(super) data: Data,
    /// True when its `ce_expirytime` has passed.
    pub(super) is_expired: bool,
    /// Which partition; `None`: where its key belongs.
    pub(super) lane: Option<Lane>,
}

impl Letter {
    /// On this partition, modulo those that there are.
    pub(super) fn on(self, number: usize) -> Self {
        Self { lane: Some(Lane { number, is_opposite: false }), ..self }
    }

    /// On the partition opposite to this one.
    pub(super) fn opposite(self, number: usize) -> Self {
        Self { lane: Some(Lane { number, is_opposite: true }), ..self }
    }

    /// With other data.
    pub(super) fn with(self, data: Data) -> Self {
        Self { data, ..self }
    }

    /// Too late already.
    pub(super) fn expired(self) -> Self {
        Self { is_expired: true, ..self }
    }
}

impl From<Name> for Letter {
    fn from(name: Name) -> Self {
        Self { name, data: Data::Good, is_expired: false, lane: None }
    }
}

/// A record that is no command, and how it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Garbage {
    /// A command whose value is not JSON.
    NotJson,
    /// JSON without any header.
    NoHeaders,
    /// A command without a value.
    Null,
    /// A command of 1 MiB that is not JSON.
    Huge,
    /// A command with two `ce_id`.
    TwoIds,
}

impl Garbage {
    /// Every kind, in the order of the contract's table.
    pub(super) const ALL: [Self; 5] = [Self::NotJson, Self::NoHeaders, Self::Null, Self::Huge, Self::TwoIds];

    /// For people.
    pub(super) fn said(self) -> &'static str {
        match self {
            Self::NotJson => "a value that is not JSON",
            Self::NoHeaders => "a record without headers",
            Self::Null => "a null value",
            Self::Huge => "1 MiB that is not JSON",
            Self::TwoIds => "a record with two ce_id",
        }
    }
}

/// What goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A command.
    Letter(Letter),
    /// Garbage, under the key and ids of this command.
    Garbage(Garbage, Name),
}

/// One move of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Sends these at once, then waits until each command among them is answered once for each time that it is there.
    Send(Vec<Item>),
    /// Sends these at once and waits for nothing.
    Throw(Vec<Item>),
    /// Restarts the participant.
    Restart,
    /// Listens for what nobody asked for.
    Listen,
}

/// Sends these commands and waits for their answers.
pub(super) fn send<const N: usize>(letters: [Letter; N]) -> Move {
    Move::Send(letters.map(Item::Letter).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposite_lanes_are_two_where_there_are_two() {
        let both = |number, partitions| {
            let letter = Letter::from(Name::doing(0));
            [letter.on(number), letter.opposite(number)].map(|letter| letter.lane.unwrap().among(partitions))
        };
        assert_eq!([both(0, 1), both(0, 2), both(3, 2), both(1, 4)], [[0, 0], [0, 1], [1, 0], [1, 3]]);
        assert!((2..9).all(|partitions| (0..9).map(|n| both(n, partitions)).all(|[one, other]| one != other)));
    }
}
