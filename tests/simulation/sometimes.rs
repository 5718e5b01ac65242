//! Rare situations that must be met: a simulator that never meets them shows nothing about them.

use std::collections::BTreeMap;

use sagabus::core::{Action, BlockKind, Cause, Fact, Phase, Verb};

use super::knobs::DROPS;

/// How often each situation was met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sometimes {
    counts: BTreeMap<&'static str, u64>,
}

impl Sometimes {
    pub(crate) fn saw(&mut self, what: &'static str) {
        debug_assert!(EXPECTED.contains(&what) || RACES.contains(&what), "{what} is listed");
        *self.counts.entry(what).or_insert(0) += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_insert(0) += count;
        }
    }

    /// Every expected situation with its count, in the order of the list.
    pub(crate) fn table(&self) -> Vec<(&'static str, u64)> {
        let is_possible = |what: &&&str| **what != "engine's future dropped" || DROPS;
        EXPECTED.iter().filter(is_possible).map(|what| (*what, self.count(what))).collect()
    }

    /// How often this was met.
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }
}

/// How a race ends (`race.rs`); each must have been met.
pub(crate) const RACES: [&str; 3] = ["race won by an operator", "race lost to an operator", "race won by an answer"];

/// What a million schedules must have met at least 100 times each.
pub(crate) const EXPECTED: [&str; 86] = [
    "engine killed",
    "engine stopped and gone on",
    "engine superseded by its namesake",
    "engine's future dropped",
    "engine panicked",
    "engine drained",
    "writer taken over with something to send",
    "statement refused to a zombie",
    "statement failed before it committed",
    "answer of a commit lost",
    "statement committed after its writer had given up",
    "statement contended",
    "saga raced by another writer",
    "offset moved by another writer",
    "catalogue changed under a batch",
    "database failed over",
    "database failed over twice",
    "commits lost",
    "database clock jumped",
    "broker away",
    "rebalance",
    "fenced consumer joined again",
    "records read by two engines",
    "records and a rebalance in one answer",
    "batch acknowledged in parts",
    "records removed by retention",
    "partition outside its log stopped",
    "stopped partition sought",
    "running partition sought back",
    "partition added",
    "engine cut off from Kafka for good",
    "engine cut off from Postgres for good",
    "engine left the group",
    "engine stood aside for its peers",
    "batch written twice",
    "batch lost with its process",
    "batch forgotten before it left",
    "command refused by the broker",
    "transaction marker",
    "answer dropped",
    "answer doubled",
    "answer before the engine heard of its own delivery",
    "command delivered twice",
    "undo before its do",
    "late do refused",
    "expired do refused",
    "participant contradicted itself",
    "hostile record parked",
    "forged reply parked",
    "parked record sent again",
    "parked record accepted when sent again",
    "trigger again: duplicate",
    "trigger again: conflict",
    "definition reloaded",
    "resent",
    "progressed",
    "failed for good",
    "retry due",
    "attempts used up",
    "given up",
    "turned by a step",
    "turned by an operator",
    "turned by lost commits",
    "undo failed for good",
    "undo unanswered for its patience",
    "undo skipped",
    "late success covered by its undo",
    "late success undone on its own",
    "answered early",
    "conflict kept",
    "pivot unanswered past patience",
    "stuck and gone on",
    "rearmed",
    "wish kept while the pivot is in flight",
    "wish refused",
    "paused and thawed",
    "step held",
    "step released",
    "edited",
    "skipped by an operator",
    "completed by an operator",
    "abandoned",
    "approved",
    "rejected",
    "signalled",
    "notice withdrawn",
];

/// What a fact is an example of.
pub(crate) fn of_fact(fact: &Fact) -> Option<&'static str> {
    Some(match fact {
        Fact::Resent { .. } => "resent",
        Fact::Progressed { .. } => "progressed",
        Fact::Failed { answer: Some(answer), .. } if !answer.retryable => "failed for good",
        Fact::RetryDue { .. } => "retry due",
        Fact::FailedForGood { code, .. } if &**code == "BUSY" => "attempts used up",
        Fact::GivenUp { .. } => "given up",
        Fact::Turned { cause: Cause::Step(_) } => "turned by a step",
        Fact::Turned { cause: Cause::Cancel | Cause::Compensate } => "turned by an operator",
        Fact::Turned { cause: Cause::LostCommits(_) } => "turned by lost commits",
        Fact::Exhausted { unanswered: false, .. } => "undo failed for good",
        Fact::Exhausted { unanswered: true, .. } => "undo unanswered for its patience",
        Fact::UndoSkipped { .. } => "undo skipped",
        Fact::UndoDue { .. } => "late success undone on its own",
        Fact::CameLate { action: Action::Do, .. } => "late success covered by its undo",
        Fact::AnsweredEarly { .. } => "answered early",
        Fact::Conflicted { .. } => "conflict kept",
        Fact::Blocked { kind: BlockKind::Unanswered, action: Action::Do, .. } => "pivot unanswered past patience",
        Fact::Unblocked { .. } => "stuck and gone on",
        Fact::Rearmed { .. } => "rearmed",
        Fact::TurnWished { .. } => "wish kept while the pivot is in flight",
        Fact::WishRefused => "wish refused",
        Fact::Thawed { .. } => "paused and thawed",
        Fact::Held { .. } => "step held",
        Fact::Released { .. } => "step released",
        Fact::Edited { .. } => "edited",
        Fact::Skipped { .. } => "skipped by an operator",
        Fact::Operated { operation } => match operation.verb {
            Verb::Complete { .. } => "completed by an operator",
            Verb::Approve { .. } => "approved",
            Verb::Reject { .. } => "rejected",
            Verb::Signal { .. } => "signalled",
            _ => return None,
        },
        Fact::PhaseChanged { phase: Phase::Abandoned } => "abandoned",
        _ => return None,
    })
}
