//! `find ANYTHING`: whatever a person has in hand at 3 a.m. leads to its saga (OPERATIONS.md section 1).
//!
//! A saga's id and a business key are looked up by an index, and so is a parked message's place. What only a trigger holds (a trace id,
//! a place) is looked for among the newest sagas; a command's id among all, since it carries a digest of its saga's id.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{Fact, Rules, Saga, Transition, Trigger, command_named, step_state_name};
use crate::store::Console;

use super::explain::explain;
use super::failure::{Exit, Failure};
use super::moments::{Moment, TimeFormat, Times};
use super::opened::{Opened, open};
use super::parked::{ParkedJson, parked_json};
use super::read::{ListedJson, listed_saga};

/// Sagas whose triggers are read by one statement.
const PAGE: usize = 1_000;

/// What was found, as programs read it.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundJson {
    /// Sagas.
    pub sagas: Vec<FoundSaga>,
    /// Records that were put aside.
    pub parked: Vec<ParkedJson>,
}

/// A saga at a glance, as programs read it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundSaga {
    /// As in a list.
    #[serde(flatten)]
    pub saga: ListedJson,
    /// The definition's hash.
    pub definition_hash: String,
    /// Since when it is in its phase.
    pub phase_since: Moment,
    /// Steps that are done, in file order.
    pub done: Vec<String>,
    /// Why it stands there, in one sentence.
    pub why: String,
    /// The trigger's trace.
    pub trace_id: Option<String>,
    /// The command that was looked for.
    pub command: Option<String>,
    /// The operator's verbs that would be carried out.
    pub can: Vec<&'static str>,
}

/// What a text may be, beside an id or a business key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Clue {
    Command(Uuid),
    Trace(String),
    Place(String, i32, i64),
    Nothing,
}

impl Clue {
    fn of(text: &str) -> Self {
        // `00-<trace>-<span>-<flags>` is a whole traceparent.
        let trace = text.split('-').nth(1).filter(|_| text.len() == 55).unwrap_or(text);
        if trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Self::Trace(trace.to_ascii_lowercase());
        }
        if let Some(id) = Uuid::try_parse(text).ok().filter(|id| id.get_version_num() == 8) {
            return Self::Command(id);
        }
        let mut parts = text.rsplitn(3, '/');
        let numbers =
            parts.next().and_then(|offset| offset.parse().ok()).zip(parts.next().and_then(|at| at.parse().ok()));
        match numbers.zip(parts.next()) {
            Some(((offset, partition), topic)) => Self::Place(topic.to_owned(), partition, offset),
            None => Self::Nothing,
        }
    }

    /// Bytes that a trigger with this clue holds.
    fn needle(&self) -> &str {
        match self {
            Self::Trace(trace) => trace,
            Self::Place(topic, ..) => topic,
            Self::Command(_) | Self::Nothing => "",
        }
    }

    fn fits(&self, trigger: &Trigger) -> bool {
        match self {
            Self::Trace(trace) => trace_id(trigger).as_ref() == Some(trace),
            Self::Place(topic, partition, offset) => {
                (&*trigger.topic, trigger.partition, trigger.offset) == (topic.as_str(), *partition, *offset)
            }
            Self::Command(_) | Self::Nothing => false,
        }
    }
}

/// Finds what `text` means. Triggers are looked for among the newest `newest` sagas.
///
/// # Errors
/// The database does not answer, or nothing was found (exit 3): with how far was looked.
pub async fn find(console: &Console, text: &str, newest: usize, format: TimeFormat) -> Result<FoundJson, Failure> {
    let clue = Clue::of(text);
    let mut found = FoundJson::default();
    let mut ids: Vec<Uuid> = console.find(&[text], None).await?.into_iter().map(|saga| saga.row.id).collect();
    if ids.is_empty() {
        match &clue {
            Clue::Command(id) => {
                ids = console.commanded(*id).await?;
                ids.retain(|saga| command_named(*saga, *id).is_some());
            }
            Clue::Place(topic, partition, offset) => {
                let parked = console.parked_at(topic, *partition, *offset).await?;
                found.parked = parked.into_iter().map(parked_json).collect();
                ids = triggered(console, &clue, newest).await?;
            }
            Clue::Trace(_) => ids = triggered(console, &clue, newest).await?,
            Clue::Nothing => {}
        }
    }
    for id in ids {
        let opened = open(console, id).await?;
        let times = Times { format, now: opened.now };
        found.sagas.push(glance(opened.plan.rules(), &opened, &clue, times));
    }
    if found.sagas.is_empty() && found.parked.is_empty() { Err(nothing(text, &clue, newest)) } else { Ok(found) }
}

/// Sagas whose trigger fits the clue, among the newest.
async fn triggered(console: &Console, clue: &Clue, newest: usize) -> Result<Vec<Uuid>, Failure> {
    let (mut before, mut left) = (Uuid::max(), newest);
    while left > 0 {
        let page = console.first_rows(before, PAGE.min(left), clue.needle().as_bytes()).await?;
        let Some((last, _)) = page.last() else { break };
        (before, left) = (*last, left - page.len());
        let fits = |facts: &Vec<u8>| {
            let first = Transition::decode(facts).ok().and_then(|row| row.facts.into_iter().next());
            matches!(first, Some(Fact::Started { trigger, .. }) if clue.fits(&trigger))
        };
        let found: Vec<Uuid> =
            page.iter().filter(|(_, facts)| facts.as_ref().is_some_and(fits)).map(|(id, _)| *id).collect();
        // A trace may have started several sagas; they are of about the same time.
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

fn nothing(text: &str, clue: &Clue, newest: usize) -> Failure {
    let message = format!("nothing is found by {text}");
    let newest_only =
        format!("its trigger was looked for among the newest {newest} sagas: --newest N looks further back");
    let hint = match clue {
        Clue::Command(_) => "it looks like a command's id, and no saga that is kept could have sent it".to_owned(),
        Clue::Trace(_) => newest_only,
        Clue::Place(..) => format!(
            "it is no parked message; {newest_only}; replies are not kept by their place: their ce_correlationid is the saga's id"
        ),
        Clue::Nothing => {
            "a saga's id, a business key, a command's id, a trace id or TOPIC/PARTITION/OFFSET is found".to_owned()
        }
    };
    Failure::new(Exit::NotFound, message, hint)
}

fn glance(rules: Rules<'_>, opened: &Opened, clue: &Clue, times: Times) -> FoundSaga {
    let command = match clue {
        Clue::Command(id) => command_named(opened.saga.id, *id),
        Clue::Trace(_) | Clue::Place(..) | Clue::Nothing => None,
    };
    let name = |target: crate::core::Target| {
        let step = rules.definition.steps.get(target.step.at()).map_or("?", |step| &step.name);
        format!("{} of {step}, attempt {}", target.action.name(), target.attempt)
    };
    FoundSaga { command: command.map(name), ..found_saga(rules, &opened.saga, &opened.journal, times) }
}

/// A saga at a glance.
pub fn found_saga(rules: Rules<'_>, saga: &Saga, journal: &[Transition], times: Times) -> FoundSaga {
    let definition = rules.definition;
    let explanation = explain(rules, saga, journal, times);
    let changed = journal
        .iter()
        .rev()
        .find(|row| row.facts.iter().any(|fact| matches!(fact, Fact::PhaseChanged { phase } if *phase == saga.phase)));
    let is_done =
        |step: &crate::core::StepIx| step_state_name(saga.step(*step)) == crate::core::StepStateName::Succeeded;
    FoundSaga {
        saga: listed_saga(definition, saga),
        definition_hash: definition.hash.to_string(),
        phase_since: Moment(changed.map_or(saga.started_at, |row| row.now)),
        done: definition.places().filter(is_done).map(|step| definition.step(step).name.to_string()).collect(),
        why: explanation.sentence,
        trace_id: trace_id(&saga.trigger),
        command: None,
        can: explanation.can,
    }
}

fn trace_id(trigger: &Trigger) -> Option<String> {
    let trace = trigger.traceparent.as_deref()?.split('-').nth(1)?;
    (trace.len() == 32).then(|| trace.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::core::{Json, Timestamp};

    use super::*;

    #[test]
    fn a_trigger_is_known_by_its_trace_and_by_its_place() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let trigger = |traceparent: Option<&str>| Trigger {
            topic: "orders".into(),
            partition: 3,
            offset: 17,
            timestamp: Timestamp::ZERO,
            id: None,
            kind: "order".into(),
            data: Json::empty_object(),
            traceparent: traceparent.map(Arc::from),
            tracestate: None,
        };
        let traced = trigger(Some(&format!("00-{trace}-00f067aa0ba902b7-01")));
        assert!(Clue::of(&trace.to_uppercase()).fits(&traced));
        assert!(!Clue::of(trace).fits(&trigger(None)));
        assert!(Clue::of("orders/3/17").fits(&traced) && !Clue::of("orders/3/18").fits(&traced));
    }

    #[test]
    fn what_a_text_may_be_is_told_by_its_form() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(Clue::of(trace), Clue::Trace(trace.to_owned()));
        assert_eq!(Clue::of(&format!("00-{trace}-00f067aa0ba902b7-01")), Clue::Trace(trace.to_owned()));
        assert_eq!(Clue::of("a/b.events/3/17"), Clue::Place("a/b.events".to_owned(), 3, 17));
        assert_eq!(Clue::of("order-42"), Clue::Nothing);
        assert_eq!(Clue::of("1/2"), Clue::Nothing);
        let command = crate::core::command_id(Uuid::nil(), crate::core::StepIx(0), crate::core::Action::Do, 1);
        assert_eq!(Clue::of(&command.to_string()), Clue::Command(command));
    }
}
