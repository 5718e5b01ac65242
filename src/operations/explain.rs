//! One sentence about a saga, then every gate that is not met (OPERATIONS.md section 4): *waiting for WHAT, since WHEN, because WHY;
//! next: WHAT happens WHEN by itself; or what you can do*. Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{Backward, Definition, Forward, Phase, Rules, Saga, StepIx, Transition, allowed};
use crate::store::HoldRow;

use super::gates::{Gate, Next, gates};
use super::moments::Times;
use super::words::{Word, word, words};

/// Why a saga stands where it stands, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The saga.
    pub saga_id: Uuid,
    /// Where it stands.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub phase: Word,
    /// The first gate in one sentence, and what can be done.
    pub sentence: String,
    /// Every gate that is not met.
    pub gates: Vec<Gate>,
    /// Steps whose effect is there, or may be.
    pub applied: Vec<String>,
    /// The operator's verbs that would be carried out.
    #[serde(deserialize_with = "words")]
    #[schema(value_type = Vec<String>)]
    pub can: Vec<Word>,
}

/// Explains the saga as of `times.now`; `holds`: what people hold of its definition.
pub fn explain(rules: Rules<'_>, saga: &Saga, journal: &[Transition], holds: &[HoldRow], times: Times) -> Explanation {
    let gates = gates(rules.definition, saga, journal, holds);
    let can = allowed(rules, saga, times.now);
    let applied = applied(rules.definition, saga);
    let sentence = match saga.finished_at {
        Some(_) => ended(saga, &gates, &applied, times),
        None => waiting(saga, &gates, &applied, &can, times),
    };
    Explanation { saga_id: saga.id, phase: saga.phase.name(), sentence, gates, applied, can }
}

fn waiting(saga: &Saga, gates: &[Gate], applied: &[String], can: &[&str], times: Times) -> String {
    let Some(first) = gates.first() else {
        return format!(
            "nothing is unmet and nothing happens: this is a defect of the engine; please report it with the output of \
             sagabus show {} --output json",
            saga.id
        );
    };
    let mut parts = vec![waits(first, times)];
    let alike = gates.iter().filter(|gate| gate.gate == first.gate).count() - 1;
    if alike > 0 {
        parts.push(format!("and {alike} more like this"));
    }
    if matches!(saga.phase, Phase::Stuck) && !applied.is_empty() {
        parts.push(format!("applied: {}", applied.join(", ")));
    }
    parts.push(match happens(gates).as_slice() {
        [] => format!("nothing happens by itself; you can: {}", can.join(", ")),
        next => format!("next: {}", next.iter().map(|next| due(next, times)).collect::<Vec<_>>().join("; ")),
    });
    parts.join("; ")
}

/// Waiting for what, since when, because of what.
pub(super) fn waits(gate: &Gate, times: Times) -> String {
    let since = gate.since.map_or_else(String::new, |since| format!(" {}", times.since(since.0)));
    format!("waiting for {}{since}, because {}", gate.waits_for, gate.because)
}

/// The first thing that happens by itself, and the first end of patience.
fn happens(gates: &[Gate]) -> Vec<&Next> {
    let mut next: Vec<&Next> = gates.iter().flat_map(|gate| &gate.next).collect();
    next.sort();
    let end = next.iter().skip(1).find(|next| next.what == "patience ends");
    next.first().into_iter().chain(end).copied().collect()
}

/// What happens when, and then; what should have happened already says so.
pub fn due(next: &Next, times: Times) -> String {
    let late = if next.at.0 < times.now { ", overdue: does an engine run?" } else { "" };
    let then = next.then.as_ref().map_or_else(String::new, |then| format!(": {then}"));
    format!("{} {}{late}{then}", next.what, times.at(next.at.0))
}

fn ended(saga: &Saga, gates: &[Gate], applied: &[String], times: Times) -> String {
    let at = saga.finished_at.map_or_else(String::new, |at| format!(" {}", times.at(at)));
    let mut parts = vec![format!("{}{at}", saga.phase)];
    if let Some(error) = &saga.error {
        let step = error.step.as_deref().map_or_else(String::new, |step| format!(" at {step}"));
        parts.push(format!("it began to fail{step}: {}", error.code));
    }
    if matches!(saga.phase, Phase::CompensatedWithSkips | Phase::Abandoned) && !applied.is_empty() {
        parts.push(format!("applied: {}", applied.join(", ")));
    }
    parts.extend(gates.iter().map(|gate| waits(gate, times)));
    parts.join("; ")
}

/// Steps whose effect is there, or may be, in file order.
pub fn applied(definition: &Definition, saga: &Saga) -> Vec<String> {
    let has_effect = |step: &StepIx| {
        let (rule, state) = (definition.step(*step), saga.step(*step));
        state.may_be_done() && rule.has_effect() && state.backward != Backward::Done
    };
    let name = |step| {
        let state = saga.step(step);
        let is_certain = state.forward == Forward::Succeeded || state.succeeded_once();
        format!("{}{}", definition.step(step).name, if is_certain { "" } else { " (possibly)" })
    };
    definition.places().filter(has_effect).map(name).collect()
}
