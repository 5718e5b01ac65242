//! Records put aside, as programs ask for them: which ones, and what is done with one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::Timestamp;
use crate::store::{ParkedFilter, ParkedState};

use super::act::{checked_reason, takes_only};
use super::failure::{Exit, Failure};
use super::opened::open;
use super::parked::{Edit, RedrivenJson, check_discard, check_redrive, discard, redrive, show_parked};
use super::places::Desk;
use super::read::find_one;
use super::sight::Sight;
use super::sweep::redrive_free;

/// Records of one request.
const TOGETHER: usize = 1_000;

/// Whether a record put aside waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ParkedStateName {
    /// It does.
    Parked,
    /// It entered the line again, and was not put aside again.
    Redriven,
    /// A person said that it need not be looked at.
    Discarded,
}

impl ParkedStateName {
    fn state(self) -> ParkedState {
        match self {
            Self::Parked => ParkedState::Parked,
            Self::Redriven => ParkedState::Redriven,
            Self::Discarded => ParkedState::Discarded,
        }
    }
}

/// Which records put aside, as programs say it: those for which everything is true that is said.
#[derive(Clone, Debug, Default)]
pub struct ParkedQuery {
    /// Whether they wait for a person.
    pub state: Option<ParkedStateName>,
    /// Where they were read.
    pub topic: Option<String>,
    /// Their whole key.
    pub key: Option<String>,
    /// How their reason begins.
    pub why: Option<String>,
    /// The code in their reason.
    pub code: Option<String>,
    /// Put aside then or later, RFC 3339.
    pub parked_after: Option<String>,
    /// Put aside earlier.
    pub parked_before: Option<String>,
}

impl ParkedQuery {
    /// What is looked for.
    ///
    /// # Errors
    /// A text holds a zero byte, or is no moment (exit 2): no record is meant.
    pub fn filter(self) -> Result<ParkedFilter, Failure> {
        let Self { state, topic, key, why, code, parked_after, parked_before } = self;
        if [&topic, &key, &why, &code].into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(Failure::usage("a text holds a zero byte"));
        }
        let moment = |name: &str, said: Option<String>| {
            let read = said.map(|said| said.parse::<Timestamp>()).transpose();
            read.map_err(|no| Failure::usage(format!("{name} is not {no}")))
        };
        Ok(ParkedFilter {
            state: state.map(ParkedStateName::state),
            topic,
            key,
            reason_prefix: why,
            code,
            parked_after: moment("parkedAfter", parked_after)?,
            parked_before: moment("parkedBefore", parked_before)?,
            before: None,
        })
    }
}

/// What is done with a record put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ParkedActionName {
    /// Sends it down the line again as it is.
    Redrive,
    /// The same with another value or other headers.
    Edit,
    /// Makes an orphan the answer that a saga's step waits for.
    Bind,
    /// It need not be looked at any more; it is kept.
    Discard,
}

/// What is to be done with a record put aside. What an action does not take is refused, and so is a field that there is not.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParkedActionRequest {
    /// What to do.
    pub action: ParkedActionName,
    /// Why; stored.
    #[schema(min_length = 1)]
    pub reason: String,
    /// Of all but `discard`: also after three times, and before an earlier message of the same key.
    pub force: Option<bool>,
    /// Of `edit`: the whole value, as text.
    pub value: Option<String>,
    /// Of `edit`: headers that are set, by their names; with null they are taken away.
    pub headers: Option<BTreeMap<String, Option<String>>>,
    /// Of `bind`: the saga's id or business key.
    pub saga: Option<String>,
    /// Of `bind`: the definition, where a key fits several.
    pub definition: Option<String>,
    /// Of `bind`: the step that waits, by its name.
    pub step: Option<String>,
}

/// What is to be done with several records put aside at once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParkedManyRequest {
    /// The parked messages: at most 1000.
    #[schema(min_items = 1, max_items = 1_000)]
    pub ids: Vec<i64>,
    /// What is done with each.
    pub with: ParkedActionRequest,
    /// Of `redrive`: a message whose state does not allow it is refused for itself, and the others are sent. Else none is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each_by_itself: bool,
}

/// What became of several records put aside; nothing of any where it was only tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParkedManyActed {
    /// Those that were judged, in the order of their logs.
    pub redriven: Vec<RedrivenJson>,
    /// Those that were parked, and need not be looked at any more.
    pub discarded: Vec<i64>,
    /// Those that were refused, where each is by itself.
    #[serde(default)]
    pub refused: Vec<ParkedRefused>,
}

/// A record put aside whose state does not allow what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParkedRefused {
    /// The parked message.
    pub id: i64,
    /// Why.
    pub reason: String,
}

/// What became of a record put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParkedActed {
    /// The parked message.
    pub id: i64,
    /// `redriven`, `discarded`, or `tried`: nothing was done.
    pub outcome: &'static str,
    /// How it ended this time; null where nobody judged it.
    pub verdict: Option<&'static str>,
    /// What is said about that.
    pub message: Option<String>,
}

impl ParkedActionName {
    /// The verb as the audit names it.
    fn name(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Edit => "edit",
            Self::Bind => "bind",
            Self::Discard => "discard",
        }
    }

    /// The fields that it takes.
    fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Redrive => &["force"],
            Self::Edit => &["force", "value", "headers"],
            Self::Bind => &["force", "saga", "definition", "step"],
            Self::Discard => &[],
        }
    }
}

impl ParkedActionRequest {
    /// The action alone.
    pub fn of(action: ParkedActionName, reason: &str) -> Self {
        let (force, value, headers, saga, definition, step) = (None, None, None, None, None, None);
        Self { action, reason: reason.to_owned(), force, value, headers, saga, definition, step }
    }

    /// Nothing is said that the action does not take.
    fn check(&self) -> Result<(), Failure> {
        let said = [
            ("force", self.force.is_some()),
            ("value", self.value.is_some()),
            ("headers", self.headers.is_some()),
            ("saga", self.saga.is_some()),
            ("definition", self.definition.is_some()),
            ("step", self.step.is_some()),
        ];
        takes_only(self.action.name(), self.action.takes(), &said).map_err(Failure::usage)
    }

    /// What is made of the message before it is judged again.
    async fn edit(&self, desk: &Desk) -> Result<Edit, Failure> {
        match self.action {
            ParkedActionName::Redrive | ParkedActionName::Discard => Ok(Edit::default()),
            ParkedActionName::Edit => {
                let headers: Vec<_> = self.headers.clone().unwrap_or_default().into_iter().collect();
                if self.value.is_none() && headers.is_empty() {
                    let hint = "say value or headers; as it is it is sent by redrive";
                    return Err(Failure::new(Exit::Usage, "nothing is edited", hint));
                }
                Ok(Edit { value: self.value.clone().map(String::into_bytes), headers })
            }
            ParkedActionName::Bind => {
                let saga = self.saga.as_deref().ok_or_else(|| Failure::usage("saga is missing"))?;
                let step = self.step.as_deref().ok_or_else(|| Failure::usage("step is missing"))?;
                let definition = self.definition.as_deref();
                if [Some(saga), definition].into_iter().flatten().any(|name| name.contains('\0')) {
                    return Err(Failure::usage("a name holds a zero byte"));
                }
                let found = find_one(&desk.reading, saga, definition).await?;
                Edit::bind(&open(&desk.reading, found.row.id).await?, step)
            }
        }
    }
}

/// Does it with the record of this number, and waits until an engine has judged; tries whether that may be when `is_dry_run`.
///
/// # Errors
/// The request cannot be (exit 2), there is no such message or saga (3), it may not enter the line, or would be put aside again and
/// stays parked (4), nobody judged in time (6).
pub async fn move_parked(
    desk: &Desk,
    who: &str,
    id: i64,
    request: &ParkedActionRequest,
    is_dry_run: bool,
) -> Result<ParkedActed, Failure> {
    request.check()?;
    let reason = checked_reason(&request.reason)?;
    let acted = |outcome, verdict, message| ParkedActed { id, outcome, verdict, message };
    let (verb, force) = (request.action.name(), request.force.unwrap_or_default());
    if request.action == ParkedActionName::Discard {
        let state = show_parked(&desk.reading, id, Sight::Masked).await?.listed.state;
        if state != ParkedState::Parked.name() {
            return Err(not_parked(id, state));
        }
        if is_dry_run {
            return Ok(acted("tried", None, None));
        }
        return match discard(&desk.asking, &[id], who, reason).await?.as_slice() {
            [] => Err(not_parked(id, "not parked any more")),
            [..] => Ok(acted("discarded", None, None)),
        };
    }
    let edit = request.edit(desk).await?;
    if is_dry_run {
        check_redrive(&desk.reading, &[id], &edit, force).await?;
        return Ok(acted("tried", None, None));
    }
    match redrive(&desk.asking, &[id], (verb, &edit), (who, reason), force).await?.pop() {
        // Somebody else was faster.
        None => Err(not_parked(id, "not parked any more")),
        Some(one) if one.stays_parked => {
            let why = one.message.map_or_else(String::new, |message| format!(": {message}"));
            let message = format!("parked message {id} would be put aside again, as {}{why}", one.verdict);
            Err(Failure::new(Exit::Refused, message, "it stays parked; edit it, or bind it"))
        }
        Some(one) => Ok(acted("redriven", Some(one.verdict), one.message)),
    }
}

/// Does it with the records of these numbers at once. What is sent down the line again goes in the order of their logs, and it is waited
/// until an engine has judged: what would be put aside again stays parked, and the others go on. Tries whether that may be when
/// `is_dry_run`.
///
/// # Errors
/// The request cannot be (exit 2); one is not there (3) or may not enter the line (4), and then nothing is done, unless each is by itself;
/// nobody judged in time (6).
pub async fn move_parked_together(
    desk: &Desk,
    who: &str,
    ParkedManyRequest { ids, with, each_by_itself }: &ParkedManyRequest,
    is_dry_run: bool,
) -> Result<ParkedManyActed, Failure> {
    with.check()?;
    let reason = checked_reason(&with.reason)?;
    if ids.is_empty() || ids.len() > TOGETHER {
        return Err(Failure::usage(format!("ids are 1 to {TOGETHER}")));
    }
    let (edit, force) = (with.edit(desk).await?, with.force.unwrap_or_default());
    if *each_by_itself {
        return match (with.action, is_dry_run) {
            (ParkedActionName::Redrive, false) => redrive_free(&desk.asking, ids, (who, reason), force).await,
            (_, true) => {
                Err(Failure::usage("eachByItself is not tried: /v1/parked-messages/sweep tells what would be"))
            }
            (action, false) => Err(Failure::usage(format!("{} takes no eachByItself; redrive does", action.name()))),
        };
    }
    let mut acted = ParkedManyActed::default();
    match (with.action, is_dry_run) {
        (ParkedActionName::Discard, true) => check_discard(&desk.reading, ids).await?,
        (ParkedActionName::Discard, false) => acted.discarded = discard(&desk.asking, ids, who, reason).await?,
        (_, true) => check_redrive(&desk.reading, ids, &edit, force).await?,
        (action, false) => {
            acted.redriven = redrive(&desk.asking, ids, (action.name(), &edit), (who, reason), force).await?;
        }
    }
    Ok(acted)
}

fn not_parked(id: i64, state: &str) -> Failure {
    Failure::new(Exit::Refused, format!("parked message {id} is {state}"), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), String> {
        let request: ParkedActionRequest = serde_json::from_str(text).map_err(|error| error.to_string())?;
        request.check().map_err(|failure| failure.message)
    }

    #[test]
    fn each_action_takes_its_own_fields_and_no_others() {
        for text in [
            r#"{"action":"redrive","reason":"r","force":true}"#,
            r#"{"action":"edit","reason":"r","value":"{}","headers":{"a":"b","c":null}}"#,
            r#"{"action":"bind","reason":"r","saga":"k","step":"a"}"#,
            r#"{"action":"discard","reason":"r"}"#,
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        let refused = [
            (r#"{"action":"redrive","reason":"r","value":"x"}"#, "redrive takes no value; it takes force"),
            (r#"{"action":"discard","reason":"r","force":true}"#, "discard takes no force; it takes nothing"),
            (r#"{"action":"bind","reason":"r","headers":{}}"#, "takes no headers"),
            (r#"{"action":"drop","reason":"r"}"#, "unknown variant"),
            (r#"{"action":"edit"}"#, "missing field `reason`"),
            (r#"{"action":"edit","reason":"r","key":"k"}"#, "unknown field `key`"),
        ];
        for (text, why) in refused {
            let told = check(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
