//! `find ANYTHING`: whatever a person has in hand at 3 a.m. leads to its saga (OPERATIONS.md section 1).
//!
//! A saga's id, a business key, a command's id, a trace id and a parked message's place are looked up by an index. What lies at another
//! place is read from Kafka, if it is still there: a trigger leads to its business key, answers and commands name their saga. Only
//! where it is gone are the newest sagas looked through for a trigger that came from there.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::bus::KafkaSettings;
use crate::core::{Definition, Fact, Saga, Transition, Trigger, command_named, step_state_name};
use crate::engine::Reading;
use crate::store::Console;
use crate::wire::{Attribute, Event, Record};

use super::blocking::read;
use super::explain::Explanation;
use super::failure::{Exit, Failure};
use super::moments::{Moment, TimeFormat, Times};
use super::opened::{Opened, Plans, look_at, reader};
use super::parked::{ParkedJson, parked_json};
use super::read::{ListedJson, listed_saga};
use super::sight::{Sight, listed_for};
use super::words::{Word, words};

/// Sagas whose triggers are looked through by one statement.
const PAGE: u32 = 10_000;

/// What was found, as programs read it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundJson {
    /// Sagas.
    pub sagas: Vec<FoundSaga>,
    /// Records that were put aside.
    pub parked: Vec<ParkedJson>,
}

/// A saga at a glance, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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
    #[serde(deserialize_with = "words")]
    #[schema(value_type = Vec<String>)]
    pub can: Vec<Word>,
}

/// What a text may be, beside an id or a business key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Clue {
    Command(Uuid),
    Trace(Uuid),
    Place(String, i32, i64),
    Nothing,
}

impl Clue {
    fn of(text: &str) -> Self {
        // `00-<trace>-<span>-<flags>` is a whole traceparent.
        let trace = text.split('-').nth(1).filter(|_| text.len() == 55).unwrap_or(text);
        if let Some(id) = Uuid::try_parse(trace).ok().filter(|_| trace.len() == 32) {
            return Self::Trace(id);
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
}

/// Finds what `text` means. Records are read from `kafka`, if it is there; triggers that it has no more are looked for among the
/// newest `newest` sagas.
///
/// # Errors
/// The database does not answer, or nothing was found (exit 3): with how far was looked.
pub async fn find(
    console: &Console,
    kafka: Option<KafkaSettings>,
    text: &str,
    newest: usize,
    (format, sight): (TimeFormat, Sight),
) -> Result<FoundJson, Failure> {
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
                let place = (topic.as_str(), *partition, *offset);
                ids = match record_at(kafka, place).await {
                    Some(record) => led_to(console, &record).await?,
                    None => triggered(console, place, newest).await?,
                };
            }
            Clue::Trace(trace) => ids = console.traced(*trace).await?,
            Clue::Nothing => {}
        }
    }
    let mut unread = Vec::new();
    look_at(console, &ids, &mut Plans::default(), sight, |snapshot, opened| match opened {
        Ok(opened) => found.sagas.push(glance(&opened, &clue, Times { format, now: opened.now })),
        Err(why) => unread.push((snapshot.row.id, why)),
    })
    .await?;
    for (id, why) in unread {
        found.sagas.extend(unreadable(console, id, &why, sight).await?);
    }
    if found.sagas.is_empty() && found.parked.is_empty() { Err(nothing(text, &clue, newest)) } else { Ok(found) }
}

/// A saga whose journal cannot be read is shown as that, by its row alone.
async fn unreadable(console: &Console, id: Uuid, why: &str, sight: Sight) -> Result<Vec<FoundSaga>, Failure> {
    let rows = console.find(&[&id.to_string()], None).await?;
    let hashes: Vec<String> = rows.iter().map(|found| found.row.definition_hash.to_string()).collect();
    let listed = listed_for(console, &rows, sight).await?;
    let glance = |(saga, definition_hash): (ListedJson, String)| FoundSaga {
        phase_since: saga.finished_at.unwrap_or(saga.started_at),
        saga,
        definition_hash,
        done: Vec::new(),
        why: format!("nobody can say why: {why}"),
        trace_id: None,
        command: None,
        can: Vec::new(),
    };
    Ok(listed.into_iter().zip(hashes).map(glance).collect())
}

/// A topic, partition and offset.
type Place<'a> = (&'a str, i32, i64);

/// The record that lies there, if Kafka says so.
async fn record_at(kafka: Option<KafkaSettings>, (topic, partition, offset): Place<'_>) -> Option<Record> {
    match read(&kafka?, topic, partition, (offset, offset.saturating_add(1)), 1).await {
        Ok(records) => records.into_iter().next(),
        Err(why) => {
            tracing::debug!(%why, "a place cannot be read from Kafka");
            None
        }
    }
}

/// Sagas that a record leads to: those that it starts or answers, or the one that it names.
async fn led_to(console: &Console, record: &Record) -> Result<Vec<Uuid>, Failure> {
    let reader = reader(console).await?;
    let named = || Uuid::try_parse(Event::read(record).ok()?.get(Attribute::CorrelationId)?).ok();
    let (ids, keys) = match reader.read(record) {
        Reading::Answer { saga, .. } => (vec![saga], Vec::new()),
        Reading::Starts(begun) => (Vec::new(), begun),
        Reading::Settled(_) => (named().into_iter().collect(), Vec::new()),
    };
    Ok(console.phases(&ids, &keys).await?.into_iter().map(|(id, ..)| id).collect())
}

/// Sagas whose trigger came from there, among the newest: several where it started one of each of several definitions.
async fn triggered(console: &Console, place: Place<'_>, newest: usize) -> Result<Vec<Uuid>, Failure> {
    let came_from = |trigger: &Trigger| (&*trigger.topic, trigger.partition, trigger.offset) == place;
    let fits = |facts: &[u8]| {
        let first = Transition::decode(facts).ok().and_then(|row| row.facts.into_iter().next());
        matches!(first, Some(Fact::Started { trigger, .. }) if came_from(&trigger))
    };
    let stored = Trigger::stored_place(place);
    let (mut before, mut left) = (Uuid::max(), u32::try_from(newest).unwrap_or(u32::MAX));
    loop {
        let sagas = left.min(PAGE);
        let rows = console.first_rows(before, sagas, &stored).await?;
        let found: Vec<Uuid> = rows.into_iter().filter(|(_, facts)| fits(facts)).map(|(id, _)| id).collect();
        left -= sagas;
        if !found.is_empty() || left == 0 {
            return Ok(found);
        }
        let Some(last) = console.nth_older(Some(before), sagas).await? else { return Ok(found) };
        before = last;
    }
}

fn nothing(text: &str, clue: &Clue, newest: usize) -> Failure {
    let message = format!("nothing is found by {text}");
    let hint = match clue {
        Clue::Command(_) => "it looks like a command's id, and no saga that is kept could have sent it".to_owned(),
        Clue::Trace(_) => "it looks like a trace id, and no saga that is kept began in that trace".to_owned(),
        Clue::Place(..) => format!(
            "it is no parked message, Kafka has no record there that leads to a saga, and none of the newest {newest} sagas began there: \
             --newest N looks further back"
        ),
        Clue::Nothing => {
            "a saga's id, a business key, a command's id, a trace id or TOPIC/PARTITION/OFFSET is found".to_owned()
        }
    };
    Failure::new(Exit::NotFound, message, hint)
}

fn glance(opened: &Opened, clue: &Clue, times: Times) -> FoundSaga {
    let command = match clue {
        Clue::Command(id) => command_named(opened.saga.id, *id),
        Clue::Trace(_) | Clue::Place(..) | Clue::Nothing => None,
    };
    let name = |target: crate::core::Target| {
        let step = opened.definition().steps.get(target.step.at()).map_or("?", |step| &step.name);
        format!("{} of {step}, attempt {}", target.action.name(), target.attempt)
    };
    FoundSaga {
        command: command.map(name),
        ..found_saga(opened.definition(), &opened.saga, &opened.journal, opened.explanation(times))
    }
}

/// A saga at a glance.
pub fn found_saga(definition: &Definition, saga: &Saga, journal: &[Transition], explanation: Explanation) -> FoundSaga {
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
        trace_id: saga.trigger.trace_id().map(|trace| trace.simple().to_string()),
        command: None,
        can: explanation.can,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_text_may_be_is_told_by_its_form() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let id = Uuid::try_parse(trace).unwrap();
        assert_eq!(Clue::of(&trace.to_uppercase()), Clue::Trace(id));
        assert_eq!(Clue::of(&format!("00-{trace}-00f067aa0ba902b7-01")), Clue::Trace(id));
        assert_eq!(Clue::of("a/b.events/3/17"), Clue::Place("a/b.events".to_owned(), 3, 17));
        assert_eq!(Clue::of("order-42"), Clue::Nothing);
        assert_eq!(Clue::of("1/2"), Clue::Nothing);
        let command = crate::core::command_id(Uuid::nil(), crate::core::StepIx(0), crate::core::Action::Do, 1);
        assert_eq!(Clue::of(&command.to_string()), Clue::Command(command));
    }
}
