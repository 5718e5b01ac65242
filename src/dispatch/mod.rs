//! Which ready commands may go out now, and in which order: pure. Stands between `decide` and `commit`.
//!
//! Without declared limits everything ready is issued in the same batch; what is chosen here is the order in which a partition
//! gets the commands, since a topic partition is first-in first-out.

use uuid::Uuid;

use crate::core::{Action, StepIx, Timestamp};

/// A step of some saga whose command may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The saga.
    pub saga_id: Uuid,
    /// When the saga started: the oldest goes first, since sagas hold reserved money and stock while they are open.
    pub started_at: Timestamp,
    /// The step.
    pub step: StepIx,
    /// The direction; undos go first.
    pub action: Action,
}

/// The picks of this turn, in the order in which they go out: compensations before everything else, then the oldest saga, then
/// the step's place in its definition (SCHEDULING.md sections 4 and 5).
pub fn choose(mut ready: Vec<Ready>) -> Vec<Ready> {
    let lane = |action: Action| match action {
        Action::Undo => 0,
        Action::Do => 1,
    };
    ready.sort_by_key(|ready| (lane(ready.action), ready.started_at, ready.saga_id, ready.step));
    ready
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(saga: u128, started: i64, step: u16, action: Action) -> Ready {
        Ready {
            saga_id: Uuid::from_u128(saga),
            started_at: Timestamp::from_millis(started),
            step: StepIx(step),
            action,
        }
    }

    #[test]
    fn compensations_go_first_then_the_oldest_saga() {
        let young = ready(1, 20, 0, Action::Do);
        let old = ready(2, 10, 3, Action::Do);
        let undo = ready(3, 30, 1, Action::Undo);
        assert_eq!(choose(vec![young, old, undo]), [undo, old, young]);
    }
}
