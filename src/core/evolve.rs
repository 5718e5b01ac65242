//! The fold: how a fact changes the state. Total: a fact that does not fit changes nothing, since `replay verify` reports
//! what does not fit and a damaged journal must not crash an engine.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::apply::{self, Clocks};
use super::definition::Definition;
use super::fact::{Fact, Transition};
use super::input::Trigger;
use super::phase::Phase;
use super::saga::{Action, Block, Saga, StepClock, StepState};
use super::time::Timestamp;

/// Why a journal does not fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldError {
    /// The saga.
    pub saga_id: Uuid,
    /// What is wrong with its journal.
    pub message: &'static str,
}

impl fmt::Display for FoldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fold the journal of saga {}: {}", self.saga_id, self.message)
    }
}

impl std::error::Error for FoldError {}

/// The saga that a journal describes.
///
/// # Errors
/// The journal is empty, does not begin with *started*, belongs to another definition, or names a step that there is not.
pub fn fold(definition: &Definition, saga_id: Uuid, journal: &[Transition]) -> Result<Saga, FoldError> {
    let broken = |message| FoldError { saga_id, message };
    let first = journal.first().ok_or_else(|| broken("it is empty"))?;
    let Some(Fact::Started { definition: hash, business_key, trigger }) = first.facts.first() else {
        return Err(broken("it does not begin with the fact started"));
    };
    if *hash != definition.hash {
        return Err(broken("it belongs to another definition"));
    }
    let mut saga = begin(definition, saga_id, Arc::clone(business_key), trigger.clone(), first.now);
    for (row, transition) in journal.iter().enumerate() {
        saga.seq = u32::try_from(row + 1).unwrap_or(u32::MAX);
        for fact in &transition.facts {
            if is_foreign(definition, fact) {
                return Err(broken("it names a step that its definition does not have"));
            }
            evolve(definition, &mut saga, transition.now, fact);
        }
    }
    Ok(saga)
}

/// The saga at its fact *started*, before any row is counted.
pub(super) fn begin(definition: &Definition, id: Uuid, key: Arc<str>, trigger: Trigger, now: Timestamp) -> Saga {
    Saga {
        id,
        definition: definition.hash,
        business_key: key,
        seq: 0,
        phase: Phase::Running,
        started_at: now,
        finished_at: None,
        paused_at: None,
        steps: vec![Arc::<StepState>::default(); definition.steps.len()],
        turned: None,
        wish: None,
        blocks: Vec::new(),
        error: None,
        cause: trigger
            .id
            .clone()
            .unwrap_or_else(|| Arc::from(format!("{}/{}@{}", trigger.topic, trigger.partition, trigger.offset))),
        trigger: Arc::new(trigger),
    }
}

/// True for a fact about a step that the definition does not have.
fn is_foreign(definition: &Definition, fact: &Fact) -> bool {
    fact.step().is_some_and(|step| step.at() >= definition.steps.len())
}

/// Applies one fact, decided at `now`, to the saga.
pub fn evolve(definition: &Definition, saga: &mut Saga, now: Timestamp, fact: &Fact) {
    if is_foreign(definition, fact) {
        return;
    }
    // While a saga is paused, or a step held, its clocks stand still; what is decided meanwhile is due as if it had been decided then.
    let stands_since = fact.step().map_or(saga.paused_at, |step| saga.stands_since(step));
    let clocks = Clocks { definition, now: stands_since.unwrap_or(now) };
    match fact {
        Fact::Started { .. } | Fact::Rearmed { .. } | Fact::Operated { .. } | Fact::Undeliverable { .. } => {}
        Fact::Ready { step, action } => apply::ready(saga, *step, *action),
        Fact::Issued { step, action, attempt, data_hash } => {
            apply::issued(clocks, saga, *step, *action, *attempt, *data_hash);
        }
        Fact::Resent { step, action, attempt } => apply::resent(clocks, saga, *step, *action, *attempt),
        Fact::Progressed { step, action, attempt, .. } => apply::progressed(clocks, saga, *step, *action, *attempt),
        Fact::Succeeded { step, action, attempt, answer } => {
            apply::succeeded(saga, *step, *action, *attempt, answer.as_ref());
        }
        Fact::Failed { step, action, attempt, answer } => {
            apply::failed(saga, *step, *action, *attempt, answer.as_ref())
        }
        Fact::Refused { step, action, .. } => apply::halted(saga, *step, *action),
        Fact::RetryDue { step, action, at } => apply::retry_due(saga, *step, *action, *at),
        Fact::GivenUp { step, .. } => apply::given_up(saga, *step),
        Fact::FailedForGood { step, code, message } => apply::blame(clocks, saga, *step, code, message),
        Fact::Skipped { step, reply } => apply::skipped(saga, *step, reply.as_ref()),
        Fact::Turned { cause } => apply::turned(saga, *cause),
        Fact::Exhausted { step, unanswered } => apply::exhausted(saga, *step, *unanswered),
        Fact::UndoSkipped { step } => apply::undo_skipped(saga, *step),
        Fact::UndoDue { step } => apply::ready(saga, *step, Action::Undo),
        Fact::Blocked { step, action, kind, code, message } => {
            let block = Block { step: *step, action: *action, kind: *kind, code: Arc::clone(code) };
            apply::blocked(clocks, saga, block, message);
        }
        Fact::Unblocked { step, action, kind } => saga.blocks.retain(|block| !block.is(*step, *action, *kind)),
        Fact::PhaseChanged { phase } => apply::phase_changed(now, saga, *phase),
        Fact::AnsweredEarly { step, attempt, answer } => apply::answered_early(saga, *step, *attempt, answer),
        Fact::CameLate { step, action, attempt, answer } => apply::came_late(saga, *step, *action, *attempt, answer),
        Fact::Conflicted { step, action, attempt, answer } => apply::conflicted(saga, *step, *action, *attempt, answer),
        Fact::TurnWished { cause } => saga.wish = Some(*cause),
        Fact::WishRefused => saga.wish = None,
        Fact::Edited { step, action, data } => saga.step_mut(*step).edit(*action, data.clone()),
        Fact::Renewed { step, action } => apply::renewed(clocks, saga, *step, *action),
        Fact::Thawed { millis } => {
            let stood = saga.steps_mut().filter(|state| state.held_since().is_none());
            stood.for_each(|state| apply::thaw(state, now, *millis));
        }
        Fact::Held { step, since } => saga.step_mut(*step).clock = StepClock::Stands(*since),
        Fact::Released { step, millis } => apply::thaw(saga.step_mut(*step), now, *millis),
    }
}
