//! A bulk action as programs ask for it: what to do, and with which sagas. It is only planned.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::{Json, Timestamp, Verb};
use crate::store::Console;

use super::access::Caller;
use super::actions::{ActionName, ActionRequest, FoundOutcome};
use super::bulk::{Selection, draft};
use super::failure::{Exit, Failure};
use super::filter::{Conditions, filter};
use super::places::Desk;
use super::plan::{PlanJson, drafted, plan};
use super::sight::{Sight, hide_said};

/// Sagas that one request names.
const NAMES: usize = 10_000;

/// A plan that is asked for: an action with what it takes, and one of `where`, `failure` and `sagas`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanRequest {
    /// What to do with each saga.
    pub action: ActionName,
    /// The step, by its name: as an action on one saga takes it.
    pub step: Option<String>,
    /// Of `retry`: repeat a step that has succeeded. Who applies the plan needs the role approver.
    pub force: Option<bool>,
    /// Of `edit`: the data of the next attempt; of `signal`: what happened. The same for each saga.
    #[schema(value_type = Option<serde_json::Value>)]
    pub data: Option<Json>,
    /// Of `complete`, and of `skip` and `approve` where successors read it: the step's reply.
    #[schema(value_type = Option<serde_json::Value>)]
    pub reply: Option<Json>,
    /// Of `fail` and `reject`: a short stable word.
    pub code: Option<String>,
    /// Of `resolve`: what a person found.
    pub outcome: Option<FoundOutcome>,
    /// The sagas for which all of this is true.
    #[serde(rename = "where")]
    pub conditions: Option<Conditions>,
    /// The sagas of this group of failures.
    pub failure: Option<String>,
    /// These sagas, by their ids or business keys: at most 10000. One that is blank is passed over.
    #[schema(min_items = 1, max_items = 10_000)]
    pub sagas: Option<Vec<String>>,
    /// Of `sagas`: the definition, where a key fits several.
    pub definition: Option<String>,
}

impl PlanRequest {
    /// How programs ask for this verb; for which sagas is not said yet.
    pub fn of(verb: &Verb) -> Self {
        let ActionRequest { action, step, force, data, reply, code, outcome, .. } = ActionRequest::of(verb, "");
        let (conditions, failure, sagas, definition) = (None, None, None, None);
        Self { action, step, force, data, reply, code, outcome, conditions, failure, sagas, definition }
    }

    /// The verb with what it takes.
    fn verb(&self) -> Result<Verb, String> {
        if self.step.as_ref().is_some_and(|step| step.contains('\0')) {
            return Err("step holds a zero byte".to_owned());
        }
        let on_one = ActionRequest {
            action: self.action,
            reason: String::new(),
            step: self.step.clone(),
            force: self.force,
            data: self.data.clone(),
            reply: self.reply.clone(),
            code: self.code.clone(),
            outcome: self.outcome,
        };
        on_one.verb()
    }

    /// Which sagas, and how that is kept with the plan.
    fn selection(&self, now: Timestamp) -> Result<(Selection, String), String> {
        if self.definition.is_some() && self.sagas.is_none() {
            return Err("definition belongs to sagas; where has one of its own".to_owned());
        }
        match (&self.conditions, &self.failure, &self.sagas) {
            (Some(said), None, None) => {
                let conditions = said.read()?;
                if conditions.is_empty() {
                    return Err("where says nothing: a plan for every saga is never meant".to_owned());
                }
                let text = said.texts().iter().map(|text| format!("--where {text}")).collect::<Vec<_>>().join(" ");
                Ok((Selection::Where(filter(&conditions, now)), text))
            }
            (None, Some(group), None) if group.contains('\0') => Err("failure holds a zero byte".to_owned()),
            (None, Some(group), None) => Ok((Selection::Failure(group.clone()), format!("--failure {group}"))),
            (None, None, Some(names)) => {
                // Blank lines of a file name nobody, and keep the place of those that do.
                let said = names.iter().filter(|name| !name.trim().is_empty()).count();
                if said == 0 || names.len() > NAMES {
                    return Err(format!("sagas are 1 to {NAMES}"));
                }
                if names.iter().chain(&self.definition).any(|name| name.contains('\0')) {
                    return Err("a name holds a zero byte".to_owned());
                }
                let text = format!("{said} named sagas");
                Ok((Selection::Named(names.clone(), self.definition.clone()), text))
            }
            (None, None, None) => Err("which sagas? say where, failure or sagas".to_owned()),
            (Some(_) | None, ..) => Err("say one of where, failure and sagas".to_owned()),
        }
    }
}

/// Plans the action for those of the sagas that exist for the caller, or with `is_dry_run` shows what would be planned.
///
/// # Errors
/// The request cannot be (exit 2), nothing is selected or a name is no saga's (3), or the database does not answer.
pub async fn plan_for(
    desk: &Desk,
    caller: &Caller,
    request: &PlanRequest,
    is_dry_run: bool,
) -> Result<PlanJson, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message, "");
    let verb = request.verb().map_err(usage)?;
    let (selection, mut said) = request.selection(crate::engine::wall_clock()).map_err(usage)?;
    let within = caller.definitions.as_deref();
    if let Some(names) = within {
        said += &format!(" of {}", names.join(", "));
    }
    let seen = (within, caller.who.as_str(), caller.sight());
    plan_selected((&desk.reading, &desk.asking), (&selection, &said), &verb, seen, is_dry_run).await
}

/// Plans the action for those of the sagas that exist within these definitions, or with `is_dry_run` shows what would be planned. How
/// they were said is kept with the plan.
///
/// # Errors
/// As `plan_for`.
pub async fn plan_selected(
    (reading, asking): (&Console, &Console),
    (selection, said): (&Selection, &str),
    verb: &Verb,
    (within, who, sight): (Option<&[String]>, &str, Sight),
    is_dry_run: bool,
) -> Result<PlanJson, Failure> {
    let draft = draft(reading, selection, verb, within).await?;
    let mut planned = if is_dry_run {
        drafted(&draft, said, reading.approval().await?)
    } else {
        plan(asking, draft.save(asking, said, who).await?).await?
    };
    hide_said(reading, std::slice::from_mut(&mut planned), sight).await?;
    Ok(planned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Verb, Selection, String), String> {
        let request: PlanRequest = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let verb = request.verb()?;
        let (selection, said) = request.selection(Timestamp::ZERO)?;
        Ok((verb, selection, said))
    }

    #[test]
    fn a_plan_is_an_action_and_one_way_to_say_which_sagas() {
        let retry = Verb::Retry { step: None, force: false };
        let told = |text| read(text).map(|(verb, _, said)| (verb, said));
        assert_eq!(
            told(r#"{"action":"retry","where":{"key":"bad-*","phase":"stuck"}}"#),
            Ok((retry.clone(), "--where phase=stuck --where key=bad-*".to_owned()))
        );
        assert_eq!(told(r#"{"action":"retry","failure":"G625719"}"#), Ok((retry, "--failure G625719".to_owned())));
        let skip = Verb::Skip { step: "a".to_owned(), reply: None };
        let named = read(r#"{"action":"skip","step":"a","sagas":["k"," ","l"],"definition":"d"}"#).unwrap();
        let names = Selection::Named(["k", " ", "l"].map(str::to_owned).to_vec(), Some("d".to_owned()));
        assert_eq!(named, (skip, names, "2 named sagas".to_owned()));
        let edit = Verb::Edit { step: "a".to_owned(), data: Json::parse(b"1").unwrap() };
        let edited = r#"{"action":"edit","step":"a","data":1,"failure":"G1"}"#;
        assert_eq!(told(edited).map(|(verb, _)| verb), Ok(edit), "the same data for each");
    }

    #[test]
    fn what_would_mean_every_saga_or_nobody_knows_which_is_refused() {
        let refused = [
            (r#"{"action":"retry"}"#, "say where, failure or sagas"),
            (r#"{"action":"retry","where":{}}"#, "never meant"),
            (r#"{"action":"retry","where":{"phase":"stuck"},"failure":"G1"}"#, "say one of"),
            (r#"{"action":"retry","sagas":[]}"#, "1 to 10000"),
            (r#"{"action":"retry","sagas":[" "]}"#, "1 to 10000"),
            (r#"{"action":"retry","sagas":["a\u0000"]}"#, "zero byte"),
            (r#"{"action":"retry","failure":"G1","definition":"d"}"#, "belongs to sagas"),
            (r#"{"action":"retry","where":{"phase":"lost"}}"#, "no such phase"),
            (r#"{"action":"retry","where":{"started":"1h"}}"#, "unknown field `started`"),
            (r#"{"action":"edit","step":"a","sagas":["k"]}"#, "data is missing"),
            (r#"{"action":"cancel","step":"a","sagas":["k"]}"#, "takes no step"),
            (r#"{"action":"retry","reason":"r","sagas":["k"]}"#, "unknown field `reason`"),
        ];
        for (text, why) in refused {
            let told = read(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
