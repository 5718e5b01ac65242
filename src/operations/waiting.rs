//! Sagas that wait for somebody's word: steps that command nobody, and whose notice is not answered yet.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{Action, Phase, StepIx, flight, patience_decides};
use crate::store::{Console, SagaFilter, SagaRow};

use super::failure::Failure;
use super::moments::Moment;
use super::opened::{Opened, Plans, look_at};
use super::sight::{Sight, command_data};
use super::words::{Word, maybe_word};

/// A step that waits, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingJson {
    /// The saga.
    pub saga_id: Uuid,
    /// Its definition's name.
    pub definition: String,
    /// Its business key.
    pub business_key: String,
    /// The step; `None` where the saga cannot be read.
    pub step: Option<String>,
    /// `approval` or `signal`.
    #[serde(deserialize_with = "maybe_word")]
    #[schema(value_type = Option<String>)]
    pub waits_for: Option<Word>,
    /// Since when.
    pub since: Moment,
    /// When the step fails unanswered; `None` where that is never decided.
    pub until: Option<Moment>,
    /// The data of its notice.
    #[schema(value_type = Option<serde_json::Value>)]
    pub asked: Option<Box<RawValue>>,
    /// Why the saga cannot be read.
    pub problem: Option<String>,
}

/// Steps that wait for a signal or an approval in the newest `limit` sagas that could have one, the longest first, and whether there are
/// more such sagas. They are looked for among those that run, unless the filter names another phase.
///
/// # Errors
/// The database does not answer.
pub async fn waiting(
    console: &Console,
    filter: &SagaFilter,
    limit: usize,
    sight: Sight,
) -> Result<(Vec<WaitingJson>, bool), Failure> {
    let mut plans = Plans::default();
    let mut within = names(console, &mut plans).await?;
    if let Some(own) = &filter.within {
        within.retain(|name| own.contains(name));
    }
    if within.is_empty() {
        return Ok((Vec::new(), false));
    }
    let phase = filter.phase.or(Some(Phase::Running));
    let found = console.list(&SagaFilter { phase, within: Some(within), ..filter.clone() }, limit).await?;
    let ids: Vec<Uuid> = found.iter().take(limit).map(|saga| saga.row.id).collect();
    let mut waiting = Vec::new();
    // Masked where it is shown: what hides it is learnt from the saga as it is.
    look_at(console, &ids, &mut plans, Sight::Whole, |snapshot, opened| match opened {
        Ok(opened) => waiting.extend(opened.definition().places().filter_map(|step| notice(&opened, step, sight))),
        Err(message) => waiting.push(unreadable(&snapshot.row, message)),
    })
    .await?;
    waiting.sort_by_key(|one| one.since);
    Ok((waiting, found.len() > limit))
}

/// Definitions in force, or with open sagas, that have a step that waits, or that nobody can read.
async fn names(console: &Console, plans: &mut Plans) -> Result<Vec<String>, Failure> {
    let (catalogue, mut names) = (console.catalogue().await?, BTreeSet::new());
    for row in catalogue.active.into_iter().chain(catalogue.pinned) {
        let plan = plans.get(console, row.hash).await?;
        if plan.is_ok_and(|plan| plan.definition().steps.iter().all(|step| step.waits.is_none())) {
            continue;
        }
        names.insert(row.name.to_string());
    }
    Ok(names.into_iter().collect())
}

fn notice(opened: &Opened, step: StepIx, sight: Sight) -> Option<WaitingJson> {
    let (definition, saga) = (opened.definition(), &opened.saga);
    let rule = definition.step(step);
    let (waits, flight) = (rule.waits?, flight(saga, step, Action::Do)?);
    let decides = patience_decides(definition, saga, step) && saga.phase != Phase::Paused;
    Some(WaitingJson {
        saga_id: saga.id,
        definition: definition.name.to_string(),
        business_key: saga.business_key.to_string(),
        step: Some(rule.name.to_string()),
        waits_for: Some(waits.name()),
        since: Moment(flight.issued_at),
        until: decides.then_some(Moment(flight.patience_ends)),
        asked: command_data(opened, step, sight),
        problem: None,
    })
}

/// A saga whose journal cannot be read is shown as that, and the rest goes on.
fn unreadable(row: &SagaRow, message: String) -> WaitingJson {
    WaitingJson {
        saga_id: row.id,
        definition: row.definition_name.to_string(),
        business_key: row.business_key.to_string(),
        step: None,
        waits_for: None,
        since: Moment(row.started_at),
        until: None,
        asked: None,
        problem: Some(message),
    }
}
