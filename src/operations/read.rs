//! Looking: lists, one saga with its graph and journal, parked messages, replays. Nothing is changed.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::core::{Definition, Phase, Saga, SagaError, Sha256, StepKind, Transition, fold, step_state_name};
use crate::definition::{Compiled, Source};
use crate::replay;
use crate::store::{Console, ListedSaga};

use super::failure::{Exit, Failure};
use super::sentence::sentence;

/// A saga in a list, as programs read it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedJson {
    /// The saga's id.
    pub id: Uuid,
    /// The definition's name.
    pub definition: String,
    /// The definition's version as in its file.
    pub version: u32,
    /// The business key.
    pub business_key: String,
    /// Where it stands.
    pub phase: &'static str,
    /// By the database's clock, RFC 3339.
    pub started_at: String,
    /// When it ended.
    pub finished_at: Option<String>,
    /// What went wrong first.
    pub error: Option<SagaError>,
}

/// A parked message, as programs read it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParkedJson {
    /// Its number.
    pub id: i64,
    /// Where it was read.
    pub topic: String,
    /// See `topic`.
    pub partition: i32,
    /// See `topic`.
    pub offset: i64,
    /// Begins with the verdict.
    pub reason: String,
    /// Its key; bytes that are not text are escaped.
    pub key: Option<String>,
    /// RFC 3339.
    pub parked_at: String,
}

/// A step of one saga, as programs read it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepJson {
    /// Its name.
    pub name: String,
    /// `compensatable`, `pivot`, `retriable` or `readOnly`.
    pub kind: &'static str,
    /// How it stands.
    pub state: &'static str,
    /// `do` ids issued.
    pub attempts: u16,
    /// `undo` ids issued.
    pub undo_attempts: u16,
    /// Direct predecessors, by name.
    pub after: Vec<String>,
}

/// A journal row, as programs read it: facts with the names of their steps.
#[derive(Clone, Debug, Serialize)]
pub struct JournalRow {
    /// From 1.
    pub seq: u32,
    /// When it was written, RFC 3339.
    pub at: String,
    /// `{"fact": name, ...}` each.
    pub facts: Vec<Value>,
}

/// One saga with everything about it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// As in a list.
    #[serde(flatten)]
    pub saga: ListedJson,
    /// What it waits for, and since when.
    pub summary: String,
    /// Its steps in file order.
    pub steps: Vec<StepJson>,
    /// Its journal.
    pub journal: Vec<JournalRow>,
}

fn listed(saga: &ListedSaga) -> ListedJson {
    let row = &saga.row;
    ListedJson {
        id: row.id,
        definition: row.definition_name.to_string(),
        version: saga.version,
        business_key: row.business_key.to_string(),
        phase: row.phase.name(),
        started_at: row.started_at.to_string(),
        finished_at: row.finished_at.map(|at| at.to_string()),
        error: row.error.as_deref().and_then(|text| serde_json::from_str(text).ok()),
    }
}

/// Sagas, newest first, and whether the list is cut.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    console: &Console,
    phase: Option<Phase>,
    definition: Option<&str>,
    limit: usize,
) -> Result<(Vec<ListedJson>, bool), Failure> {
    let mut found = console.list(phase, definition, limit).await?;
    let is_cut = found.len() > limit;
    found.truncate(limit);
    Ok((found.iter().map(listed).collect(), is_cut))
}

/// The one saga that an id or a business key means.
///
/// # Errors
/// There is none (exit 3), or a key fits several definitions (exit 2).
pub async fn find_one(console: &Console, id_or_key: &str, definition: Option<&str>) -> Result<ListedSaga, Failure> {
    let mut found = console.find(id_or_key, definition).await?;
    match (found.pop(), found.len()) {
        (Some(saga), 0) => Ok(saga),
        (Some(last), _) => {
            let names: Vec<&str> = found.iter().chain([&last]).map(|saga| &*saga.row.definition_name).collect();
            let message = format!("{id_or_key} is a business key of several definitions: {}", names.join(", "));
            Err(Failure::new(Exit::Usage, message, "say which one with --definition NAME"))
        }
        (None, _) => {
            Err(Failure::new(Exit::NotFound, format!("there is no saga {id_or_key}"), "sagabus list shows the newest"))
        }
    }
}

/// The compiled definition that a saga is pinned to.
///
/// # Errors
/// The database does not answer, or the definition cannot be read by this version.
pub async fn plan_of(console: &Console, saga: &ListedSaga) -> Result<Compiled, Failure> {
    plan_of_hash(console, saga.row.definition_hash).await
}

/// The compiled definition with this hash.
pub(super) async fn plan_of_hash(console: &Console, hash: Sha256) -> Result<Compiled, Failure> {
    let row = console.definition(hash).await?;
    let row = row.ok_or_else(|| Failure::new(Exit::Failed, format!("definition {hash} is not in the database"), ""))?;
    let source = Source::from_body(&row.body).map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))?;
    Ok(Compiled::load(&source)?)
}

async fn journal_of(console: &Console, saga: &ListedSaga) -> Result<(Vec<Transition>, Vec<String>), Failure> {
    let rows = console.journal(saga.row.id).await?;
    let decoded = replay::decode(rows.iter().map(|row| row.facts.as_slice()));
    let decoded =
        decoded.map_err(|error| Failure::new(Exit::Failed, format!("journal of saga {}: {error}", saga.row.id), ""))?;
    Ok((decoded, rows.iter().map(|row| row.at.to_string()).collect()))
}

/// One saga with everything about it.
///
/// # Errors
/// The database does not answer, or the journal does not fold.
pub async fn show(console: &Console, saga: &ListedSaga) -> Result<Shown, Failure> {
    let plan = plan_of(console, saga).await?;
    let definition = plan.definition();
    let (journal, written_at) = journal_of(console, saga).await?;
    let folded =
        fold(definition, saga.row.id, &journal).map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))?;
    let rows = journal.iter().zip(written_at).enumerate().map(|(place, (row, at))| JournalRow {
        seq: u32::try_from(place + 1).unwrap_or(u32::MAX),
        at,
        facts: row.facts.iter().map(|fact| named(definition, serde_json::to_value(fact).unwrap_or_default())).collect(),
    });
    Ok(Shown {
        saga: listed(saga),
        summary: sentence(definition, &folded),
        steps: steps(definition, &folded),
        journal: rows.collect(),
    })
}

fn steps(definition: &Definition, saga: &Saga) -> Vec<StepJson> {
    let kind = |kind: StepKind| match kind {
        StepKind::Compensatable => "compensatable",
        StepKind::Pivot => "pivot",
        StepKind::Retriable => "retriable",
        StepKind::ReadOnly => "readOnly",
    };
    let one = |place| {
        let (step, state) = (definition.step(place), saga.step(place));
        StepJson {
            name: step.name.to_string(),
            kind: kind(step.kind),
            state: step_state_name(state).name(),
            attempts: state.attempts,
            undo_attempts: state.undo_attempts,
            after: step.after.iter().map(|before| definition.step(*before).name.to_string()).collect(),
        }
    };
    definition.places().map(one).collect()
}

fn json_step(definition: &Definition, place: &Value) -> Value {
    let step = place.as_u64().and_then(|place| definition.steps.get(usize::try_from(place).ok()?));
    step.map_or_else(|| place.clone(), |step| Value::from(&*step.name))
}

/// `{"issued": {"step": 1, ...}}` as `{"fact": "issued", "step": "clearing", ...}`.
fn named(definition: &Definition, fact: Value) -> Value {
    let mut flat = Map::new();
    let (name, body) = match fact {
        Value::Object(members) => members.into_iter().next().unwrap_or_default(),
        // A fact without content is its bare name.
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            (fact.as_str().unwrap_or_default().to_owned(), Value::Null)
        }
    };
    flat.insert("fact".to_owned(), Value::from(name));
    if let Value::Object(members) = body {
        for (key, value) in members.into_iter().filter(|(_, value)| !value.is_null()) {
            // A cause names its step one level deeper.
            let value = if key == "cause" {
                value.get("step").cloned().map_or(value, |step| json_step(definition, &step))
            } else {
                value
            };
            let value = if key == "step" { json_step(definition, &value) } else { value };
            flat.insert(key, value);
        }
    }
    Value::Object(flat)
}

/// Records put aside, newest first.
///
/// # Errors
/// The database does not answer.
pub async fn parked(console: &Console, limit: usize) -> Result<Vec<ParkedJson>, Failure> {
    let found = console.parked(limit).await?;
    let shown = |parked: crate::store::ListedParked| ParkedJson {
        id: parked.id,
        topic: parked.topic,
        partition: parked.partition,
        offset: parked.offset,
        reason: parked.reason,
        key: parked.key.map(|key| key.escape_ascii().to_string()),
        parked_at: parked.parked_at.to_string(),
    };
    Ok(found.into_iter().map(shown).collect())
}

/// Decides a saga's recorded inputs again, under its own definition or that of a file. `None` when nothing is different.
///
/// # Errors
/// The database does not answer, the file is wrong, or the journal cannot be read.
pub async fn replay_run(
    console: &Console,
    saga: &ListedSaga,
    other: Option<&Path>,
) -> Result<Option<replay::Difference>, Failure> {
    let own = plan_of(console, saga).await?;
    let (journal, _) = journal_of(console, saga).await?;
    let outcome = match other {
        None => replay::run(&own, saga.row.id, &journal),
        Some(file) => {
            let other = Compiled::load(&Source::read(file)?)?;
            replay::run_with(&own, &other, saga.row.id, &journal)
        }
    };
    outcome.map_err(|error| Failure::new(Exit::Failed, error, ""))
}
