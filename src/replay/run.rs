//! Decides the recorded inputs again, under the saga's own definition or another one, and says where it parts. Sends nothing.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::core::{
    Decision, Fact, Input, Rules, Saga, StepIx, Target, Timestamp, Transition, command_id, command_named, decide,
    evolve, fold, issue, issue_all, start,
};
use crate::definition::Compiled;

use super::recorded::{held_at, input_of};

/// The first place where the decisions part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The journal row, from 1.
    pub seq: usize,
    /// What the journal says.
    pub recorded: String,
    /// What is decided now.
    pub decided: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}: recorded {}, decided {}", self.seq, self.recorded, self.decided)
    }
}

/// Decides the recorded inputs again under the definition that the saga is pinned to; `None` when every row comes out the same.
///
/// # Errors
/// The journal does not fold.
pub fn run(plan: &Compiled, saga_id: Uuid, journal: &[Transition]) -> Result<Option<Difference>, String> {
    let rules = plan.rules();
    folds(plan, saga_id, journal)?;
    let mut saga: Option<Saga> = None;
    for (place, row) in journal.iter().enumerate() {
        let decided = again(rules, saga.as_ref(), saga_id, row)?;
        if decided.facts != row.facts {
            return Ok(Some(difference(place, &row.facts, &decided.facts)));
        }
        // The recorded facts are the state, whatever was decided.
        let known = saga.get_or_insert_with(|| Saga { seq: 0, ..decided.saga.clone() });
        *known = match place {
            0 => fold(rules.definition, saga_id, &journal[..1]).map_err(|error| error.to_string())?,
            _ => folded(rules, known.clone(), row),
        };
    }
    Ok(None)
}

/// A damaged journal is refused whole: its inputs may name what its definition does not have.
fn folds(plan: &Compiled, saga_id: Uuid, journal: &[Transition]) -> Result<(), String> {
    fold(plan.definition(), saga_id, journal).map(|_| ()).map_err(|error| error.to_string())
}

fn folded(rules: Rules<'_>, mut saga: Saga, row: &Transition) -> Saga {
    saga.seq += 1;
    row.facts.iter().for_each(|fact| evolve(rules.definition, &mut saga, row.now, fact));
    saga
}

/// One row again. What the dispatcher chose is taken as recorded: it saw other sagas. So is what people held.
fn again(rules: Rules<'_>, saga: Option<&Saga>, saga_id: Uuid, row: &Transition) -> Result<Decision, String> {
    let held = held_at(rules.definition, saga, row);
    let rules = Rules { held: &held, ..rules };
    let mut decision = match (saga, row.facts.first()) {
        (None, Some(Fact::Started { business_key, trigger, .. })) => {
            start(rules, saga_id, Arc::clone(business_key), trigger.clone(), row.now)
        }
        (None, _) => return Err("the journal does not begin with the fact started".to_owned()),
        (Some(saga), _) => match input_of(rules.definition, saga, row) {
            Some(input) => decide(rules, saga, &input, row.now),
            None => Decision::quiet(saga.clone(), row.now),
        },
    };
    for fact in &row.facts {
        if let Fact::Issued { step, action, .. } | Fact::Refused { step, action, .. } = fact {
            decision = issue(rules, decision, *step, *action);
        }
    }
    Ok(decision)
}

fn difference(place: usize, recorded: &[Fact], decided: &[Fact]) -> Difference {
    let at = recorded.iter().zip(decided).position(|(a, b)| a != b).unwrap_or(recorded.len().min(decided.len()));
    let show = |facts: &[Fact]| {
        facts.get(at).map_or_else(|| "nothing more".to_owned(), |fact| serde_json::to_string(fact).unwrap_or_default())
    };
    Difference { seq: place + 1, recorded: show(recorded), decided: show(decided) }
}

/// Decides the recorded inputs under another definition: compares the commands that go out and the phases that are entered, by the
/// names of the steps. (In which row a command goes out depends on what else was in its batch.)
///
/// # Errors
/// The journal does not fold.
pub fn run_with(
    own: &Compiled,
    other: &Compiled,
    saga_id: Uuid,
    journal: &[Transition],
) -> Result<Option<Difference>, String> {
    folds(own, saga_id, journal)?;
    let (mut then, mut now) = (Vec::new(), Vec::new());
    let mut states: Option<(Saga, Saga)> = None;
    for (place, row) in journal.iter().enumerate() {
        let held = held_there(own, other, states.as_ref().map(|(recorded, _)| recorded), row);
        let rules = Rules { held: &held, ..other.rules() };
        let decision = match (&states, row.facts.first()) {
            (None, Some(Fact::Started { business_key, trigger, .. })) => {
                start(rules, saga_id, Arc::clone(business_key), trigger.clone(), row.now)
            }
            (None, _) => return Err("the journal does not begin with the fact started".to_owned()),
            (Some((recorded, decided)), _) => {
                let input =
                    input_of(own.definition(), recorded, row).map(|input| translate(own, other, decided, input));
                match input {
                    Some(Ok(input)) => decide(rules, decided, &input, row.now),
                    Some(Err(missing)) => {
                        let decided = "no such step".to_owned();
                        return Ok(Some(Difference { seq: place + 1, recorded: missing, decided }));
                    }
                    None => Decision::quiet(decided.clone(), row.now),
                }
            }
        };
        let decision = issue_all(rules, decision);
        then.extend(commands(own, &row.facts).into_iter().map(|command| (place + 1, command)));
        now.extend(commands(other, &decision.facts).into_iter().map(|command| (place + 1, command)));
        let recorded = match states {
            None => fold(own.definition(), saga_id, &journal[..1]).map_err(|error| error.to_string())?,
            Some((recorded, _)) => folded(own.rules(), recorded, row),
        };
        states = Some((recorded, decision.saga));
    }
    Ok(first_apart(&then, &now))
}

/// Which steps of the other definition were held when the row was decided: those of the same names.
fn held_there(own: &Compiled, other: &Compiled, saga: Option<&Saga>, row: &Transition) -> Vec<Option<Timestamp>> {
    let held = held_at(own.definition(), saga, row);
    let of_name = |name: &str| own.definition().place_of(name).and_then(|step| held[step.at()]);
    other.definition().steps.iter().map(|step| of_name(&step.name)).collect()
}

/// The first command that only one side has.
fn first_apart(then: &[(usize, String)], now: &[(usize, String)]) -> Option<Difference> {
    let lacks = |side: &[(usize, String)], command: &String| !side.iter().any(|(_, other)| other == command);
    let nothing = || "nothing of the kind".to_owned();
    let only_then = then.iter().find(|(_, command)| lacks(now, command));
    let only_now = now.iter().find(|(_, command)| lacks(then, command));
    match (only_then, only_now) {
        (Some((seq, recorded)), Some((other, _))) if seq <= other => {
            let decided = now
                .iter()
                .find(|(at, command)| at >= seq && lacks(then, command))
                .map_or_else(nothing, |(_, command)| command.clone());
            Some(Difference { seq: *seq, recorded: recorded.clone(), decided })
        }
        (Some((seq, recorded)), None) => Some(Difference { seq: *seq, recorded: recorded.clone(), decided: nothing() }),
        (_, Some((seq, decided))) => Some(Difference { seq: *seq, recorded: nothing(), decided: decided.clone() }),
        (None, None) => None,
    }
}

/// The commands and phases that facts lead to, by name.
fn commands(plan: &Compiled, facts: &[Fact]) -> Vec<String> {
    let name = |step: &StepIx| Arc::clone(&plan.definition().step(*step).name);
    let mut found = Vec::new();
    for fact in facts {
        if let Fact::Issued { step, action, attempt, data_hash } = fact {
            let data = &data_hash.to_string()[..8];
            found.push(format!("{} {} attempt {attempt} with data {data}", action.name(), name(step)));
        } else if let Fact::PhaseChanged { phase } = fact {
            found.push(format!("phase {phase}"));
        }
    }
    found
}

/// The same input for a definition whose steps stand at other places.
fn translate(own: &Compiled, other: &Compiled, saga: &Saga, input: Input) -> Result<Input, String> {
    let Input::Reply(mut reply) = input else { return Ok(input) };
    if let Some(Target { step, action, attempt }) = command_named(saga.id, reply.command_id)
        && let Some(rule) = own.definition().steps.get(step.at())
    {
        let place =
            other.definition().place_of(&rule.name).ok_or_else(|| format!("an answer of step {}", rule.name))?;
        reply.command_id = command_id(saga.id, place, action, attempt);
        reply.topic = Arc::clone(&other.definition().reply_topic);
    }
    Ok(Input::Reply(reply))
}
