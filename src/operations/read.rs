//! Looking: lists, one saga with its graph and journal, parked messages, replays. Nothing is changed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{Definition, Phase, Saga, SagaError, StepKind, Wait, step_state_name};
use crate::store::{Console, ListedDefinition, ListedSaga, SagaFilter};

use super::failure::{Exit, Failure};
use super::history::{JournalRow, history};
use super::moments::{Moment, Times};
use super::opened::Opened;
use super::sight::{Sight, listed_for};
use super::words::{Word, maybe_word, word};

/// A saga in a list, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub phase: Word,
    /// By the database's clock, RFC 3339.
    pub started_at: Moment,
    /// When it ended.
    pub finished_at: Option<Moment>,
    /// What went wrong first.
    pub error: Option<ErrorJson>,
}

/// What went wrong, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorJson {
    /// The step's name; `None` when no step is to blame.
    pub step: Option<String>,
    /// A short stable word.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A step of one saga, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepJson {
    /// Its name.
    pub name: String,
    /// What it waits for, where it commands nobody: `signal` or `approval`.
    #[serde(deserialize_with = "maybe_word")]
    #[schema(value_type = Option<String>)]
    pub waits_for: Option<Word>,
    /// `compensatable`, `pivot`, `retriable` or `readOnly`.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub kind: Word,
    /// How it stands.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub state: Word,
    /// `do` ids issued.
    pub attempts: u16,
    /// `undo` ids issued.
    pub undo_attempts: u16,
    /// Direct predecessors, by name.
    pub after: Vec<String>,
}

/// One saga with everything about it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
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

pub(super) fn listed(saga: &ListedSaga) -> ListedJson {
    let row = &saga.row;
    ListedJson {
        id: row.id,
        definition: row.definition_name.to_string(),
        version: saga.version,
        business_key: row.business_key.to_string(),
        phase: row.phase.name(),
        started_at: Moment(row.started_at),
        finished_at: row.finished_at.map(Moment),
        error: row.error.as_deref().and_then(|text| serde_json::from_str(text).ok()),
    }
}

fn error_json(error: &SagaError) -> ErrorJson {
    let step = error.step.as_deref().map(str::to_owned);
    ErrorJson { step, code: error.code.to_string(), message: error.message.clone() }
}

/// A folded saga as in a list.
pub fn listed_saga(definition: &Definition, saga: &Saga) -> ListedJson {
    ListedJson {
        id: saga.id,
        definition: definition.name.to_string(),
        version: definition.version,
        business_key: saga.business_key.to_string(),
        phase: saga.phase.name(),
        started_at: Moment(saga.started_at),
        finished_at: saga.finished_at.map(Moment),
        error: saga.error.as_ref().map(error_json),
    }
}

/// Sagas, newest first, and whether the list is cut.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    console: &Console,
    filter: &SagaFilter,
    limit: usize,
    sight: Sight,
) -> Result<(Vec<ListedJson>, bool), Failure> {
    let mut found = console.list(filter, limit).await?;
    let is_cut = found.len() > limit;
    found.truncate(limit);
    Ok((listed_for(console, &found, sight).await?, is_cut))
}

/// How many sagas there are in a phase of a definition, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountJson {
    /// The definition's name.
    pub definition: String,
    /// The phase.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub phase: Word,
    /// How many.
    pub sagas: i64,
}

/// Sagas by definition and phase.
///
/// # Errors
/// The database does not answer.
pub async fn count(console: &Console, filter: &SagaFilter) -> Result<Vec<CountJson>, Failure> {
    let found = console.counts(filter).await?;
    let json = |(definition, phase, sagas): (String, Phase, i64)| CountJson { definition, phase: phase.name(), sagas };
    Ok(found.into_iter().map(json).collect())
}

/// A definition in a list, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionJson {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of its content: 64 hexadecimal digits.
    pub hash: String,
    /// Whether it starts sagas.
    pub is_active: bool,
    /// Open sagas that are pinned to it.
    pub open_sagas: i64,
    /// When it was deployed.
    pub deployed_at: Moment,
}

/// Every definition that was ever deployed, and whether the list is cut.
///
/// # Errors
/// The database does not answer.
pub async fn definitions(console: &Console, limit: usize) -> Result<(Vec<DefinitionJson>, bool), Failure> {
    let mut found = console.definitions(limit.saturating_add(1)).await?;
    let is_cut = found.len() > limit;
    found.truncate(limit);
    let json = |found: ListedDefinition| DefinitionJson {
        name: found.name,
        version: found.version,
        hash: found.hash.to_string(),
        is_active: found.is_active,
        open_sagas: found.open_sagas,
        deployed_at: Moment(found.deployed_at),
    };
    Ok((found.into_iter().map(json).collect(), is_cut))
}

/// The one saga that an id or a business key means.
///
/// # Errors
/// There is none (exit 3), or a key fits several definitions (exit 2).
pub async fn find_one(console: &Console, id_or_key: &str, definition: Option<&str>) -> Result<ListedSaga, Failure> {
    only_one(id_or_key, console.find(&[id_or_key], definition).await?, |saga| &saga.row.definition_name)
}

/// The only saga of those that an id or a business key means; `definition` is the name of a saga's definition.
///
/// # Errors
/// There is none (exit 3), or the key fits several definitions (exit 2).
pub fn only_one<T>(id_or_key: &str, mut found: Vec<T>, definition: impl Fn(&T) -> &str) -> Result<T, Failure> {
    match (found.pop(), found.len()) {
        (Some(saga), 0) => Ok(saga),
        (Some(last), _) => {
            let names: Vec<&str> = found.iter().chain([&last]).map(definition).collect();
            let message = format!("{id_or_key} is a business key of several definitions: {}", names.join(", "));
            Err(Failure::new(Exit::Usage, message, "say which one with --definition NAME"))
        }
        (None, _) => {
            Err(Failure::new(Exit::NotFound, format!("there is no saga {id_or_key}"), "sagabus list shows the newest"))
        }
    }
}

/// One saga with everything about it.
pub fn show(opened: &Opened, times: Times) -> Shown {
    let (definition, saga) = (opened.definition(), &opened.saga);
    Shown {
        saga: listed_saga(definition, saga),
        summary: opened.explanation(times).sentence,
        steps: steps(definition, saga),
        journal: history(definition, &opened.journal),
    }
}

/// The steps of a saga, in file order.
pub fn steps(definition: &Definition, saga: &Saga) -> Vec<StepJson> {
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
            waits_for: step.waits.map(Wait::name),
            kind: kind(step.kind),
            state: step_state_name(state).name(),
            attempts: state.attempts,
            undo_attempts: state.undo_attempts,
            after: step.after.iter().map(|before| definition.step(*before).name.to_string()).collect(),
        }
    };
    definition.places().map(one).collect()
}
