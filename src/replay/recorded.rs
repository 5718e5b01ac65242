//! The input that a journal row came from: its first fact carries it.

use std::sync::Arc;

use crate::core::{
    Action, Answer, BlockKind, Definition, Fact, Input, Reply, Saga, StepIx, Timestamp, Transition, command_id,
};

/// The input of a row that does not begin its saga; `None` for a row that only the dispatcher wrote.
pub(super) fn input_of(definition: &Definition, saga: &Saga, transition: &Transition) -> Option<Input> {
    let reply = |step: &StepIx, action: Action, attempt: u16, answer: &Answer| {
        Some(Input::Reply(Reply {
            topic: Arc::clone(&definition.reply_topic),
            saga_id: saga.id,
            command_id: command_id(saga.id, *step, action, attempt),
            answer: answer.clone(),
        }))
    };
    match transition.facts.first()? {
        Fact::Progressed { step, action, attempt, answer }
        | Fact::Succeeded { step, action, attempt, answer: Some(answer) }
        | Fact::Failed { step, action, attempt, answer: Some(answer) }
        | Fact::CameLate { step, action, attempt, answer }
        | Fact::Conflicted { step, action, attempt, answer } => reply(step, *action, *attempt, answer),
        Fact::AnsweredEarly { step, attempt, answer } => reply(step, Action::Do, *attempt, answer),
        Fact::Operated { operation } => Some(Input::Operation(operation.clone())),
        Fact::Undeliverable { step, action, attempt, code, message } => Some(Input::Undeliverable {
            step: *step,
            action: *action,
            attempt: *attempt,
            code: Arc::clone(code),
            message: message.clone(),
        }),
        Fact::Issued { .. } | Fact::Started { .. } => None,
        Fact::Ready { .. }
        | Fact::Resent { .. }
        | Fact::Succeeded { answer: None, .. }
        | Fact::Failed { answer: None, .. }
        | Fact::Refused { .. }
        | Fact::RetryDue { .. }
        | Fact::GivenUp { .. }
        | Fact::FailedForGood { .. }
        | Fact::Skipped { .. }
        | Fact::Turned { .. }
        | Fact::Exhausted { .. }
        | Fact::UndoSkipped { .. }
        | Fact::UndoDue { .. }
        | Fact::Blocked { .. }
        | Fact::Unblocked { .. }
        | Fact::PhaseChanged { .. }
        | Fact::Rearmed { .. }
        | Fact::TurnWished { .. }
        | Fact::WishRefused
        | Fact::Edited { .. }
        | Fact::Renewed { .. }
        | Fact::Thawed { .. }
        | Fact::Held { .. }
        | Fact::Released { .. } => Some(timer_of(transition)),
    }
}

/// A wake-up that gave something up knew that the replies had been read, and one that sent something again, that it was acknowledged;
/// another one need not have known.
fn timer_of(transition: &Transition) -> Input {
    let gave_up = |fact: &Fact| {
        matches!(
            fact,
            Fact::GivenUp { .. } | Fact::Exhausted { .. } | Fact::Blocked { kind: BlockKind::Unanswered, .. }
        )
    };
    let sent_again = |fact: &Fact| matches!(fact, Fact::Resent { .. });
    let has_given_up = transition.facts.iter().any(gave_up);
    let replies_read_until = if has_given_up { transition.now } else { Timestamp::ZERO };
    Input::Timer { replies_read_until, acknowledged: has_given_up || transition.facts.iter().any(sent_again) }
}

/// Which steps a person held when the row was decided, as far as that mattered: what it says of them, and else what was known before.
pub(super) fn held_at(definition: &Definition, saga: Option<&Saga>, transition: &Transition) -> Vec<Option<Timestamp>> {
    let before = |step: StepIx| saga.and_then(|saga| saga.step(step).held_since());
    let mut held: Vec<Option<Timestamp>> = definition.places().map(before).collect();
    for fact in &transition.facts {
        if let Fact::Held { step, since } = fact {
            held[step.at()] = Some(*since);
        } else if let Fact::Released { step, .. } | Fact::Issued { step, .. } | Fact::Resent { step, .. } = fact {
            // Nothing of a held step is sent.
            held[step.at()] = None;
        }
    }
    held
}
