//! `hold` and `release`: a step, a definition or a participant is stopped for a while, for all sagas at once. A hold is a row that every
//! engine heeds from its next batch on; what it means for a saga is decided and journalled with whatever happens to the saga next.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::{Console, HoldMade, HoldRow, HoldTarget};

use super::access::Caller;
use super::act::checked_reason;
use super::failure::{Exit, Failure};
use super::moments::Moment;
use super::opened::Plans;

/// What is to be held: a definition, a step of it, or a participant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HoldRequest {
    /// Every step of this definition, whatever its version; with `step`, that one.
    pub definition: Option<String>,
    /// The step's name.
    pub step: Option<String>,
    /// Every step of every definition that talks to this participant.
    pub participant: Option<String>,
    /// Why; stored.
    #[schema(min_length = 1)]
    pub reason: String,
}

/// A hold as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldJson {
    /// Its name: h1, h2 ...
    pub id: String,
    /// The definition; null: a participant is held.
    pub definition: Option<String>,
    /// The step; null: all of them are held.
    pub step: Option<String>,
    /// The participant; null: a definition or a step is held.
    pub participant: Option<String>,
    /// Since when.
    pub since: Moment,
    /// Who holds it.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// What a hold or a release is about, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldScope {
    /// The hold's name; null: it was only tried.
    pub id: Option<String>,
    /// What is held or released.
    pub target: String,
    /// Definitions with a step that it is about.
    pub definitions: Vec<String>,
    /// Open sagas of these definitions.
    pub open_sagas: i64,
}

/// The number of the hold called `name`, such as h3.
///
/// # Errors
/// It is no such name, for people.
pub fn hold_number(name: &str) -> Result<i64, String> {
    let digits =
        name.strip_prefix('h').filter(|digits| digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("{name} is no hold: they are called h1, h2 ..."))
}

/// What is held, oldest first, as far as the caller may see it: of participants all.
///
/// # Errors
/// The database does not answer.
pub async fn holds(console: &Console, caller: &Caller) -> Result<Vec<HoldJson>, Failure> {
    let may_see = |hold: &HoldRow| match &hold.target {
        HoldTarget::Definition(name) | HoldTarget::Step { definition: name, .. } => caller.may_see(name),
        HoldTarget::Participant(_) => true,
    };
    Ok(console.holds().await?.into_iter().filter(may_see).map(hold_json).collect())
}

fn hold_json(HoldRow { id, target, since, who, reason }: HoldRow) -> HoldJson {
    let said = |name: &Arc<str>| Some(name.to_string());
    let (definition, step, participant) = match &target {
        HoldTarget::Definition(name) => (said(name), None, None),
        HoldTarget::Step { definition, step } => (said(definition), said(step), None),
        HoldTarget::Participant(name) => (None, None, said(name)),
    };
    HoldJson { id: format!("h{id}"), definition, step, participant, since: Moment(since), who, reason }
}

/// Holds something, or says what that would be about.
///
/// # Errors
/// The request cannot be (exit 2), no definition in force has such a step or participant (3), it is held already or an engine runs that
/// would not heed it (4), the database does not answer (6).
pub async fn hold(console: &Console, request: &HoldRequest, who: &str, is_dry_run: bool) -> Result<HoldScope, Failure> {
    let reason = checked_reason(&request.reason)?;
    let target = target_of(request)?;
    // Counted before anything is done: who is told of a failure knows that nothing was.
    let mut moved = covered(console, &target).await?;
    if moved.definitions.is_empty() {
        let hint = "sagabus definitions list and sagabus definitions show tell what there is";
        return Err(Failure::new(Exit::NotFound, format!("no definition in force has this: {target}"), hint));
    }
    let refused = |message: String, hint: &str| Err(Failure::new(Exit::Refused, message, hint));
    if let Some(held) = console.holds().await?.into_iter().find(|hold| hold.target == target) {
        return refused(format!("{target} is held already, by {} (h{})", held.who, held.id), "sagabus hold list");
    }
    if is_dry_run {
        return Ok(moved);
    }
    match console.hold(&target, who, reason).await? {
        HoldMade::Made(id) => moved.id = Some(format!("h{id}")),
        HoldMade::There => return refused(format!("{target} was held a moment ago"), "sagabus hold list"),
        HoldMade::NotHeeded => {
            let message = "an engine may run that does not know of holds, and would send all the same".to_owned();
            return refused(message, "sagabus locks shows the engines: replace those of the former version first");
        }
    }
    Ok(moved)
}

/// Releases what is held, or says what that would be about: nothing is sent late for it, timers go on where they stood.
///
/// # Errors
/// The reason is empty (exit 2), there is no such hold in force (3), it was released meanwhile (4), the database does not answer (6).
pub async fn release(
    console: &Console,
    number: i64,
    reason: &str,
    who: &str,
    is_dry_run: bool,
) -> Result<HoldScope, Failure> {
    let reason = checked_reason(reason)?;
    let held = console.holds().await?.into_iter().find(|hold| hold.id == number);
    let gone = || Failure::new(Exit::NotFound, format!("h{number} is not in force"), "sagabus hold list");
    let held = held.ok_or_else(gone)?;
    let mut moved = covered(console, &held.target).await?;
    if is_dry_run {
        return Ok(moved);
    }
    if console.release_hold(&held, who, reason).await? != Some(true) {
        return Err(Failure::new(Exit::Refused, format!("h{number} was released a moment ago"), "sagabus hold list"));
    }
    moved.id = Some(format!("h{number}"));
    Ok(moved)
}

fn target_of(request: &HoldRequest) -> Result<HoldTarget, Failure> {
    match (&request.definition, &request.step, &request.participant) {
        (Some(definition), None, None) => Ok(HoldTarget::Definition(Arc::from(definition.as_str()))),
        (Some(definition), Some(step), None) => {
            Ok(HoldTarget::Step { definition: Arc::from(definition.as_str()), step: Arc::from(step.as_str()) })
        }
        (None, None, Some(participant)) => Ok(HoldTarget::Participant(Arc::from(participant.as_str()))),
        (_, _, _) => {
            let hint = "say a definition, a definition and a step, or a participant";
            Err(Failure::new(Exit::Usage, "what is to be held is not clear", hint))
        }
    }
}

/// What it is about: of the definitions in force, active ones and those of open sagas, such as have a step of it.
async fn covered(console: &Console, target: &HoldTarget) -> Result<HoldScope, Failure> {
    let catalogue = console.catalogue().await?;
    let (mut plans, mut names, mut hashes) = (Plans::default(), BTreeSet::new(), Vec::new());
    for row in catalogue.active.into_iter().chain(catalogue.pinned) {
        // One that cannot be read has no steps that anybody knows, and no engine decides by it.
        let Ok(plan) = plans.get(console, row.hash).await? else { continue };
        let definition = plan.definition();
        if definition.steps.iter().any(|step| target.covers(&definition.name, step)) {
            names.insert(definition.name.to_string());
            hashes.push(row.hash);
        }
    }
    let open_sagas = console.open_sagas_of(&hashes).await?;
    Ok(HoldScope { id: None, target: target.to_string(), definitions: names.into_iter().collect(), open_sagas })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_named_by_a_letter_and_its_number() {
        assert_eq!(hold_number("h12"), Ok(12));
        for other in ["", "h", "12", "p1", "h-1", "h1234567890123456789", "h1x"] {
            assert!(hold_number(other).is_err(), "{other}");
        }
    }

    #[test]
    fn what_is_held_is_one_thing() {
        let ask = |definition: Option<&str>, step: Option<&str>, participant: Option<&str>| HoldRequest {
            definition: definition.map(str::to_owned),
            step: step.map(str::to_owned),
            participant: participant.map(str::to_owned),
            reason: "r".to_owned(),
        };
        let said = |request: HoldRequest| target_of(&request).map(|target| target.to_string()).ok();
        assert_eq!(said(ask(Some("trade"), None, None)).as_deref(), Some("definition trade"));
        assert_eq!(said(ask(Some("trade"), Some("risk"), None)).as_deref(), Some("step trade/risk"));
        assert_eq!(said(ask(None, None, Some("risk"))).as_deref(), Some("participant risk"));
        for unclear in [ask(None, None, None), ask(None, Some("risk"), None), ask(Some("trade"), None, Some("risk"))] {
            assert_eq!(said(unclear), None);
        }
    }
}
