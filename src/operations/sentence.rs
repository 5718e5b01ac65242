//! One sentence about a saga: what it waits for, since when, and what happens next by itself.

use crate::core::{Action, Backward, BlockKind, Definition, Flight, Forward, Phase, Saga, StepIx, next_due};

/// What the saga waits for, or how it ended.
pub(super) fn sentence(definition: &Definition, saga: &Saga) -> String {
    if let Some(finished_at) = saga.finished_at {
        let why = saga.error.as_ref().map_or(String::new(), |error| {
            let step = error.step.as_deref().map_or(String::new(), |step| format!(" at {step}"));
            format!(": {}{step}", error.code)
        });
        return format!("{} since {finished_at}{why}", saga.phase);
    }
    let waits = waiting(definition, saga);
    let next =
        next_due(definition, saga).map_or("nothing happens by itself".to_owned(), |at| format!("next look at {at}"));
    match saga.phase {
        Phase::Stuck => {
            let blocks: Vec<String> = saga
                .blocks
                .iter()
                .map(|block| blocked(definition, block.step, block.action, block.kind, &block.code))
                .collect();
            format!("stuck: {}; {next}", blocks.join("; "))
        }
        Phase::Paused => "paused by a person: sagabus resume lets it go on".to_owned(),
        Phase::Running
        | Phase::Compensating
        | Phase::Completed
        | Phase::Compensated
        | Phase::CompensatedWithSkips
        | Phase::Cancelled
        | Phase::Abandoned => format!(
            "{}: {}; {next}",
            saga.phase,
            if waits.is_empty() { "nothing is outstanding".to_owned() } else { waits.join("; ") }
        ),
    }
}

fn waiting(definition: &Definition, saga: &Saga) -> Vec<String> {
    let of_step = |step: StepIx| {
        let name = &definition.step(step).name;
        let flight = |what: &str, flight: &Flight| {
            let (attempt, since) = (flight.attempt, flight.issued_at);
            format!("waiting for a reply from {name} ({what}, attempt {attempt}) since {since}")
        };
        let forward = match &saga.step(step).forward {
            Forward::Issued(issued) => Some(flight("do", issued)),
            Forward::Retrying(at) => Some(format!("{name} is tried again at {at}")),
            Forward::Ready => Some(format!("{name} is ready")),
            Forward::Pending
            | Forward::Succeeded
            | Forward::Failed(_)
            | Forward::GivenUp(_)
            | Forward::Unclear
            | Forward::Skipped(_) => None,
        };
        let backward = match &saga.step(step).backward {
            Backward::Issued(issued) | Backward::Exhausted(Some(issued)) => Some(flight("undo", issued)),
            Backward::Retrying(at) => Some(format!("the undo of {name} is tried again at {at}")),
            Backward::Ready => Some(format!("the undo of {name} is ready")),
            Backward::None | Backward::Done | Backward::Exhausted(None) | Backward::Skipped(_) => None,
        };
        forward.into_iter().chain(backward)
    };
    definition.places().flat_map(of_step).collect()
}

fn blocked(definition: &Definition, step: StepIx, action: Action, kind: BlockKind, code: &str) -> String {
    let name = &definition.step(step).name;
    let way_out = match kind {
        BlockKind::Unanswered => "an answer, or resume (asks again) or abandon",
        BlockKind::Failed => "resume tries again with a new attempt; abandon ends it",
        BlockKind::Conflict => "what is true has to be found out; abandon ends it",
        BlockKind::Undeliverable => "mend what makes the command impossible to send, then resume",
    };
    format!("{} {name}: {code} ({way_out})", action.name())
}
