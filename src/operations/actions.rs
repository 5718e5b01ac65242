//! An action on one saga as programs ask for it: checked field by field, allowed or not, then decided by an engine or tried.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{CHANGED, Json, Resolution, Verb, allowed};

use super::access::{Caller, Role};
use super::act::{Acted, Decision, checked_reason, decision, operation, takes_only};
use super::dry_run::{DryRun, check_step};
use super::failure::{Exit, Failure};
use super::opened::{Opened, open};
use super::places::Desk;
use super::sight::tried;

/// The verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "`core::Verb` says what each does")]
pub enum ActionName {
    Republish,
    Retry,
    Edit,
    Skip,
    Complete,
    Fail,
    Compensate,
    Cancel,
    Pause,
    Resume,
    Resolve,
    Abandon,
    Signal,
    Approve,
    Reject,
}

/// The code of a rejection that names none.
pub const REJECTED: &str = "REJECTED";

/// How a stuck step ended, as a person found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum FoundOutcome {
    /// Its effect is there.
    Done,
    /// Its effect is not there: it never was, or was undone by hand.
    Undone,
    /// Its effect stays as it is, knowingly.
    Left,
}

impl ActionName {
    fn of(verb: &Verb) -> Self {
        match verb {
            Verb::Republish { .. } => Self::Republish,
            Verb::Retry { .. } => Self::Retry,
            Verb::Edit { .. } => Self::Edit,
            Verb::Skip { .. } => Self::Skip,
            Verb::Complete { .. } => Self::Complete,
            Verb::Fail { .. } => Self::Fail,
            Verb::Compensate => Self::Compensate,
            Verb::Cancel => Self::Cancel,
            Verb::Pause => Self::Pause,
            Verb::Resume => Self::Resume,
            Verb::Resolve { .. } => Self::Resolve,
            Verb::Abandon => Self::Abandon,
            Verb::Signal { .. } => Self::Signal,
            Verb::Approve { .. } => Self::Approve,
            Verb::Reject { .. } => Self::Reject,
        }
    }
}

impl FoundOutcome {
    fn of(outcome: Resolution) -> Self {
        match outcome {
            Resolution::Done => Self::Done,
            Resolution::Undone => Self::Undone,
            Resolution::Left => Self::Left,
        }
    }
}

/// An action that is asked for. What an action does not take is refused, and so is a field that there is not.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActionRequest {
    /// What to do.
    pub action: ActionName,
    /// Why; stored.
    #[schema(min_length = 1)]
    pub reason: String,
    /// The step, by its name: of every action that is about one; of `retry` it may be absent: all that failed.
    pub step: Option<String>,
    /// Of `retry`: repeat a step that has succeeded. Needs the role approver.
    pub force: Option<bool>,
    /// Of `edit`: the data of the next attempt. Of `signal`, where successors read it: what is known of what happened.
    #[schema(value_type = Option<serde_json::Value>)]
    pub data: Option<Json>,
    /// Of `complete`, and of `skip` and `approve` where successors read it: the step's reply.
    #[schema(value_type = Option<serde_json::Value>)]
    pub reply: Option<Json>,
    /// Of `fail`, and of `reject`, where it is `REJECTED` when nothing is said: a short stable word.
    pub code: Option<String>,
    /// Of `resolve`: what a person found.
    pub outcome: Option<FoundOutcome>,
}

/// What was asked, and what came of it.
#[derive(Clone, Debug)]
pub enum Performed {
    /// An engine decided it.
    Decided(Acted),
    /// What would follow; nothing was written.
    Tried(Box<DryRun>),
}

/// Why an action was not carried out.
#[derive(Clone, Debug)]
pub enum NotPerformed {
    /// The caller may not.
    Forbidden(String),
    /// The saga's state does not allow it, or it has moved on.
    Refused {
        /// It has moved on.
        has_changed: bool,
        /// Where the saga stands.
        phase: &'static str,
        /// For people.
        message: String,
        /// The verbs that would be carried out.
        can: Vec<&'static str>,
    },
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for NotPerformed {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl ActionRequest {
    /// How programs ask for this verb.
    pub fn of(verb: &Verb, reason: &str) -> Self {
        let mut said = Self {
            action: ActionName::of(verb),
            reason: reason.to_owned(),
            step: verb.step().map(str::to_owned),
            force: None,
            data: None,
            reply: None,
            code: None,
            outcome: None,
        };
        match verb {
            Verb::Retry { force, .. } => said.force = Some(*force),
            Verb::Edit { data, .. } => said.data = Some(data.clone()),
            Verb::Signal { data, .. } => said.data.clone_from(data),
            Verb::Skip { reply, .. } | Verb::Approve { reply, .. } => said.reply.clone_from(reply),
            Verb::Complete { reply, .. } => said.reply = Some(reply.clone()),
            Verb::Fail { code, .. } | Verb::Reject { code, .. } => said.code = Some(code.clone()),
            Verb::Resolve { outcome, .. } => said.outcome = Some(FoundOutcome::of(*outcome)),
            Verb::Republish { .. } | Verb::Compensate | Verb::Cancel | Verb::Pause | Verb::Resume | Verb::Abandon => {}
        }
        said
    }

    /// The verb with what it takes.
    ///
    /// # Errors
    /// Something is missing, too much, or no JSON within the limits: for people.
    pub fn verb(&self) -> Result<Verb, String> {
        let takes: &[&str] = match self.action {
            ActionName::Republish => &["step"],
            ActionName::Retry => &["step", "force"],
            ActionName::Edit | ActionName::Signal => &["step", "data"],
            ActionName::Skip | ActionName::Complete | ActionName::Approve => &["step", "reply"],
            ActionName::Fail | ActionName::Reject => &["step", "code"],
            ActionName::Resolve => &["step", "outcome"],
            ActionName::Compensate
            | ActionName::Cancel
            | ActionName::Pause
            | ActionName::Resume
            | ActionName::Abandon => &[],
        };
        let said = [
            ("step", self.step.is_some()),
            ("force", self.force.is_some()),
            ("data", self.data.is_some()),
            ("reply", self.reply.is_some()),
            ("code", self.code.is_some()),
            ("outcome", self.outcome.is_some()),
        ];
        takes_only("this action", takes, &said)?;
        let step = || text("step", self.step.as_deref());
        let maybe = |name, said: &Option<Json>| said.as_ref().map(|said| checked(name, Some(said))).transpose();
        Ok(match self.action {
            ActionName::Republish => Verb::Republish { step: step()? },
            ActionName::Retry => Verb::Retry { step: self.step.clone(), force: self.force.unwrap_or_default() },
            ActionName::Edit => Verb::Edit { step: step()?, data: checked("data", self.data.as_ref())? },
            ActionName::Skip => Verb::Skip { step: step()?, reply: maybe("reply", &self.reply)? },
            ActionName::Complete => Verb::Complete { step: step()?, reply: checked("reply", self.reply.as_ref())? },
            ActionName::Fail => Verb::Fail { step: step()?, code: text("code", self.code.as_deref())? },
            ActionName::Compensate => Verb::Compensate,
            ActionName::Cancel => Verb::Cancel,
            ActionName::Pause => Verb::Pause,
            ActionName::Resume => Verb::Resume,
            ActionName::Resolve => {
                let outcome = match self.outcome.ok_or("outcome is missing: done, undone or left")? {
                    FoundOutcome::Done => Resolution::Done,
                    FoundOutcome::Undone => Resolution::Undone,
                    FoundOutcome::Left => Resolution::Left,
                };
                Verb::Resolve { step: step()?, outcome }
            }
            ActionName::Abandon => Verb::Abandon,
            ActionName::Signal => Verb::Signal { step: step()?, data: maybe("data", &self.data)? },
            ActionName::Approve => Verb::Approve { step: step()?, reply: maybe("reply", &self.reply)? },
            ActionName::Reject => {
                let code = self.code.as_deref().or(Some(REJECTED));
                Verb::Reject { step: step()?, code: text("code", code)? }
            }
        })
    }
}

fn text(name: &str, said: Option<&str>) -> Result<String, String> {
    let said = said.filter(|said| !said.is_empty()).ok_or_else(|| format!("{name} is missing"))?;
    if said.contains('\0') { Err(format!("{name} holds a zero byte")) } else { Ok(said.to_owned()) }
}

fn checked(name: &str, said: Option<&Json>) -> Result<Json, String> {
    let said = said.ok_or_else(|| format!("{name} is missing"))?;
    Json::foreign(said.get().trim().as_bytes()).map_err(|error| format!("{name}: {error}"))
}

/// The role that a verb needs.
pub fn role_of(verb: &Verb) -> Role {
    match verb {
        Verb::Abandon | Verb::Retry { force: true, .. } | Verb::Approve { .. } | Verb::Reject { .. } => Role::Approver,
        Verb::Republish { .. }
        | Verb::Retry { .. }
        | Verb::Edit { .. }
        | Verb::Skip { .. }
        | Verb::Complete { .. }
        | Verb::Fail { .. }
        | Verb::Compensate
        | Verb::Cancel
        | Verb::Pause
        | Verb::Resume
        | Verb::Resolve { .. }
        | Verb::Signal { .. } => Role::Operator,
    }
}

/// A saga that exists for this caller, as they may see it.
///
/// # Errors
/// There is none for them (exit 3), or the database does not answer.
pub async fn open_for(desk: &Desk, caller: &Caller, id: Uuid) -> Result<Opened, Failure> {
    Ok(whole_for(desk, caller, id).await?.seen(caller.sight()))
}

async fn whole_for(desk: &Desk, caller: &Caller, id: Uuid) -> Result<Opened, Failure> {
    let opened = open(&desk.reading, id).await?;
    if caller.may_see(&opened.definition().name) {
        return Ok(opened);
    }
    Err(Failure::new(Exit::NotFound, format!("there is no saga {id}"), ""))
}

/// Asks an engine for the action on the saga as it stands at `expect_seq`, or tries it when `is_dry_run`. Who gives up waiting has
/// asked all the same.
///
/// # Errors
/// The request cannot be, the caller may not, the state does not allow it, the saga has moved on, or no engine decides.
pub async fn perform(
    desk: &Desk,
    caller: &Caller,
    id: Uuid,
    request: &ActionRequest,
    (expect_seq, is_dry_run): (u32, bool),
) -> Result<Performed, NotPerformed> {
    let verb = request.verb().map_err(|message| Failure::new(Exit::Usage, message, ""))?;
    let reason = checked_reason(&request.reason)?;
    let opened = whole_for(desk, caller, id).await?;
    caller.check(role_of(&verb)).map_err(NotPerformed::Forbidden)?;
    if let Some(step) = verb.step() {
        check_step(opened.definition(), step)?;
    }
    let operation = operation(id, verb, &caller.who, reason, Some(expect_seq));
    if is_dry_run {
        let tried = tried(&opened, &operation, caller.sight());
        return match tried.refusal {
            None => Ok(Performed::Tried(Box::new(tried))),
            Some(refusal) => {
                let phase = tried.phase;
                Err(NotPerformed::Refused {
                    has_changed: refusal.code == CHANGED,
                    phase,
                    message: refusal.message,
                    can: refusal.can,
                })
            }
        };
    }
    match decision(&desk.asking, id, &operation).await? {
        Decision::Acted(acted) => Ok(Performed::Decided(acted)),
        Decision::Refused { code, message } => Err(refused(desk, id, &code, message).await?),
    }
}

/// What an engine refused, with where the saga stands now and what can be done now.
async fn refused(desk: &Desk, id: Uuid, code: &str, message: String) -> Result<NotPerformed, Failure> {
    let opened = open(&desk.reading, id).await?;
    let (has_changed, can) = (code == CHANGED, allowed(opened.rules(), &opened.saga, opened.now));
    Ok(NotPerformed::Refused { has_changed, phase: opened.saga.phase.name(), message, can })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Verb, String> {
        let request: ActionRequest = serde_json::from_str(text).map_err(|error| error.to_string())?;
        request.verb()
    }

    #[test]
    fn each_action_takes_its_own_fields_and_no_others() {
        let step = || "a".to_owned();
        let json = || Json::parse(b"1").unwrap();
        let told = [
            (r#"{"action":"republish","reason":"r","step":"a"}"#, Verb::Republish { step: step() }),
            (r#"{"action":"retry","reason":"r"}"#, Verb::Retry { step: None, force: false }),
            (
                r#"{"action":"retry","reason":"r","step":"a","force":true}"#,
                Verb::Retry { step: Some(step()), force: true },
            ),
            (r#"{"action":"edit","reason":"r","step":"a","data":1}"#, Verb::Edit { step: step(), data: json() }),
            (r#"{"action":"skip","reason":"r","step":"a"}"#, Verb::Skip { step: step(), reply: None }),
            (
                r#"{"action":"skip","reason":"r","step":"a","reply":1}"#,
                Verb::Skip { step: step(), reply: Some(json()) },
            ),
            (
                r#"{"action":"complete","reason":"r","step":"a","reply":1}"#,
                Verb::Complete { step: step(), reply: json() },
            ),
            (r#"{"action":"fail","reason":"r","step":"a","code":"C"}"#, Verb::Fail { step: step(), code: "C".into() }),
            (r#"{"action":"compensate","reason":"r"}"#, Verb::Compensate),
            (r#"{"action":"cancel","reason":"r"}"#, Verb::Cancel),
            (r#"{"action":"pause","reason":"r"}"#, Verb::Pause),
            (r#"{"action":"resume","reason":"r"}"#, Verb::Resume),
            (
                r#"{"action":"resolve","reason":"r","step":"a","outcome":"left"}"#,
                Verb::Resolve { step: step(), outcome: Resolution::Left },
            ),
            (r#"{"action":"abandon","reason":"r"}"#, Verb::Abandon),
            (r#"{"action":"signal","reason":"r","step":"a"}"#, Verb::Signal { step: step(), data: None }),
            (
                r#"{"action":"approve","reason":"r","step":"a","reply":1}"#,
                Verb::Approve { step: step(), reply: Some(json()) },
            ),
            (r#"{"action":"reject","reason":"r","step":"a"}"#, Verb::Reject { step: step(), code: REJECTED.into() }),
        ];
        for (text, verb) in told {
            assert_eq!(ActionRequest::of(&verb, "r").verb(), Ok(verb.clone()), "as it is asked for");
            assert_eq!(read(text), Ok(verb), "{text}");
        }
        let refused = [
            (r#"{"action":"cancel","reason":"r","step":"a"}"#, "takes no step; it takes nothing"),
            (r#"{"action":"retry","reason":"r","code":"C"}"#, "takes no code; it takes step, force"),
            (r#"{"action":"edit","reason":"r","step":"a"}"#, "data is missing"),
            (r#"{"action":"fail","reason":"r","code":"C"}"#, "step is missing"),
            (r#"{"action":"resolve","reason":"r","step":"a"}"#, "outcome is missing"),
            (r#"{"action":"approve","reason":"r","step":"a","data":1}"#, "takes no data; it takes step, reply"),
            (r#"{"action":"delete","reason":"r"}"#, "unknown variant"),
            (r#"{"action":"cancel"}"#, "missing field `reason`"),
            (r#"{"action":"cancel","reason":"r","seq":1}"#, "unknown field `seq`"),
        ];
        for (text, why) in refused {
            assert!(read(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn what_ends_a_saga_or_repeats_an_effect_needs_an_approver() {
        assert_eq!(role_of(&Verb::Abandon), Role::Approver);
        assert_eq!(role_of(&Verb::Retry { step: None, force: true }), Role::Approver);
        assert_eq!(role_of(&Verb::Approve { step: "a".into(), reply: None }), Role::Approver);
        assert_eq!(role_of(&Verb::Reject { step: "a".into(), code: "C".into() }), Role::Approver);
        assert_eq!(role_of(&Verb::Retry { step: None, force: false }), Role::Operator);
    }
}
