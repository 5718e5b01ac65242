//! The input that a journal row came from: its first fact carries it.

use std::sync::Arc;

use crate::core::{Action, Answer, Definition, Fact, Input, Reply, Saga, StepIx, Timestamp, Transition, command_id};

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
        | Fact::Thawed { .. } => Some(timer_of(transition)),
    }
}

/// A wake-up that gave something up knew that the replies had been read; another one need not have.
fn timer_of(transition: &Transition) -> Input {
    let gave_up = |fact: &Fact| matches!(fact, Fact::GivenUp { .. } | Fact::Exhausted { .. } | Fact::Blocked { .. });
    let replies_read_until = if transition.facts.iter().any(gave_up) { transition.now } else { Timestamp::ZERO };
    Input::Timer { replies_read_until, acknowledged: true }
}
