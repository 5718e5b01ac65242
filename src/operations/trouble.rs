//! What went wrong in sagas that have not ended: what each is stuck at, and groups of the same failure (OPERATIONS.md section 5). A
//! group is a query over what is true now: it disappears when its sagas move on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{Fact, Phase, Rules, Saga, Sha256, Timestamp, Transition, allowed};
use crate::store::{Console, SagaFilter, SagaRow};

use super::explain::applied;
use super::failure::{Exit, Failure};
use super::moments::Moment;
use super::opened::{Plans, look_at};
use super::sight::Sight;
use super::words::{Word, word, words};

/// Ids that are looked for by one statement.
const IDS: usize = 1_000;

/// Something that went wrong in a saga that has not ended, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// The saga.
    pub saga_id: Uuid,
    /// Its definition's name.
    pub definition: String,
    /// Its business key.
    pub business_key: String,
    /// Where it stands.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub phase: Word,
    /// The step; `None` when no step is to blame.
    pub step: Option<String>,
    /// `do` or `undo`.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub action: Word,
    /// A short stable word.
    pub code: String,
    /// For people.
    pub message: String,
    /// Since when it is so.
    pub since: Moment,
    /// Steps whose effect is there, or may be.
    pub applied: Vec<String>,
    /// The operator's verbs that would be carried out.
    #[serde(deserialize_with = "words")]
    #[schema(value_type = Vec<String>)]
    pub can: Vec<Word>,
}

/// Sagas that failed alike, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureGroup {
    /// `G` and some digits that stay the same for the same definition, step, direction and code.
    pub id: String,
    /// The definition's name.
    pub definition: String,
    /// The step; `None` when no step is to blame.
    pub step: Option<String>,
    /// `do` or `undo`.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub action: Word,
    /// The code that they have in common.
    pub code: String,
    /// What most of them say.
    pub reason: String,
    /// How many sagas.
    pub sagas: usize,
    /// How many of them are stuck; the others are being undone, or go on.
    pub stuck: usize,
    /// The first failure.
    pub first_seen: Moment,
    /// The last failure.
    pub last_seen: Moment,
    /// The key of the last one.
    pub sample: String,
    /// Its id.
    pub sample_id: Uuid,
}

/// What went wrong in an open saga: everything that blocks it, else what went wrong first. Empty when nothing did.
pub fn troubles(rules: Rules<'_>, saga: &Saga, journal: &[Transition], now: Timestamp) -> Vec<Trouble> {
    let definition = rules.definition;
    if saga.is_final() || saga.blocks.is_empty() && saga.error.is_none() {
        return Vec::new();
    }
    let (applied, can) = (applied(definition, saga), allowed(rules, saga, now));
    let trouble = |step: Option<&str>, action: &'static str, code: &str, message: &str, since: Timestamp| Trouble {
        saga_id: saga.id,
        definition: definition.name.to_string(),
        business_key: saga.business_key.to_string(),
        phase: saga.phase.name(),
        step: step.map(str::to_owned),
        action,
        code: code.to_owned(),
        message: message.to_owned(),
        since: Moment(since),
        applied: applied.clone(),
        can: can.clone(),
    };
    if saga.blocks.is_empty() {
        let first = saga
            .error
            .as_ref()
            .map(|error| trouble(error.step.as_deref(), "do", &error.code, &error.message, failed_at(saga, journal)));
        return first.into_iter().collect();
    }
    let blocks = saga.blocks.iter().map(|block| {
        let (since, message) = super::gates::blocked(journal, block).unwrap_or((saga.started_at, ""));
        let name = &definition.step(block.step).name;
        trouble(Some(name), block.action.name(), &block.code, message, since)
    });
    blocks.collect()
}

/// When the saga began to fail.
fn failed_at(saga: &Saga, journal: &[Transition]) -> Timestamp {
    let fails = |fact: &Fact| {
        matches!(fact, Fact::FailedForGood { .. } | Fact::GivenUp { .. } | Fact::Blocked { .. } | Fact::Turned { .. })
    };
    journal.iter().find(|row| row.facts.iter().any(fails)).map_or(saga.started_at, |row| row.now)
}

/// Groups of the same failure, the most sagas first.
pub fn groups(troubles: &[Trouble]) -> Vec<FailureGroup> {
    let mut by_group: BTreeMap<(&str, Option<&str>, &str, &str), Vec<&Trouble>> = BTreeMap::new();
    for trouble in troubles {
        let key = (trouble.definition.as_str(), trouble.step.as_deref(), trouble.action, trouble.code.as_str());
        by_group.entry(key).or_default().push(trouble);
    }
    let mut groups: Vec<FailureGroup> = by_group.into_values().map(|members| summed_up(&members)).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.sagas));
    groups
}

fn summed_up(members: &[&Trouble]) -> FailureGroup {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    members.iter().for_each(|member| *reasons.entry(&member.message).or_default() += 1);
    let reason = reasons.into_iter().max_by_key(|(_, count)| *count).map_or("", |(reason, _)| reason);
    let first = members.iter().min_by_key(|member| member.since).expect("a group has members");
    let last = members.iter().max_by_key(|member| member.since).expect("a group has members");
    FailureGroup {
        id: group_id(last),
        definition: last.definition.clone(),
        step: last.step.clone(),
        action: last.action,
        code: last.code.clone(),
        reason: reason.to_owned(),
        sagas: members.len(),
        stuck: members.iter().filter(|member| member.phase == Phase::Stuck.name()).count(),
        first_seen: first.since,
        last_seen: last.since,
        sample: last.business_key.clone(),
        sample_id: last.saga_id,
    }
}

/// The id of the group that a failure belongs to.
pub fn group_id(trouble: &Trouble) -> String {
    let step = trouble.step.as_deref().unwrap_or_default();
    let text = [trouble.definition.as_str(), step, trouble.action, &trouble.code].join("\0");
    let digest = Sha256::of(text.as_bytes());
    let [a, b, c, ..] = digest.as_bytes();
    format!("G{a:02x}{b:02x}{c:02x}")
}

/// What stuck sagas are stuck at, the longest first, and whether the list is cut.
///
/// # Errors
/// The database does not answer.
pub async fn stuck(
    console: &Console,
    filter: &SagaFilter,
    limit: usize,
    sight: Sight,
) -> Result<(Vec<Trouble>, bool), Failure> {
    let filter = SagaFilter { phase: Some(Phase::Stuck), ..filter.clone() };
    let found = console.list(&filter, limit).await?;
    let ids: Vec<Uuid> = found.iter().take(limit).map(|saga| saga.row.id).collect();
    let mut troubles = troubles_of(console, &ids, &mut Plans::default(), sight).await?;
    troubles.retain(|trouble| trouble.phase == Phase::Stuck.name());
    troubles.sort_by_key(|trouble| trouble.since);
    Ok((troubles, found.len() > limit))
}

/// What went wrong in open sagas, the newest `limit` of them, and whether there are more. Sagas that only wait for their next attempt
/// are not among them.
///
/// # Errors
/// The database does not answer.
pub async fn failures(console: &Console, limit: usize, sight: Sight) -> Result<(Vec<Trouble>, bool), Failure> {
    let (mut before, mut left, mut plans, mut found) = (Uuid::max(), limit, Plans::default(), Vec::new());
    loop {
        let ids = console.troubled(before, IDS.min(left.saturating_add(1))).await?;
        let Some(last) = ids.last() else { return Ok((found, false)) };
        before = *last;
        let taken = &ids[..ids.len().min(left)];
        found.extend(troubles_of(console, taken, &mut plans, sight).await?);
        left -= taken.len();
        if taken.len() < ids.len() {
            return Ok((found, true));
        }
    }
}

/// What went wrong in the sagas of one group that somebody may see, among the newest `limit` that failed, and whether there are more.
///
/// # Errors
/// There is no such group (exit 3), or the database does not answer.
pub async fn group(
    console: &Console,
    id: &str,
    limit: usize,
    sight: Sight,
    may_see: impl Fn(&str) -> bool,
) -> Result<(Vec<Trouble>, bool), Failure> {
    let (mut found, is_cut) = failures(console, limit, sight).await?;
    found.retain(|trouble| group_id(trouble) == id && may_see(&trouble.definition));
    if found.is_empty() {
        let message = format!("there is no group {id} any more");
        return Err(Failure::new(Exit::NotFound, message, "sagabus failures shows those that there are"));
    }
    Ok((found, is_cut))
}

async fn troubles_of(
    console: &Console,
    ids: &[Uuid],
    plans: &mut Plans,
    sight: Sight,
) -> Result<Vec<Trouble>, Failure> {
    let mut found = Vec::new();
    look_at(console, ids, plans, sight, |snapshot, opened| match opened {
        Ok(opened) => found.extend(troubles(opened.rules(), &opened.saga, &opened.journal, opened.now)),
        Err(message) => found.push(unreadable(&snapshot.row, message)),
    })
    .await?;
    Ok(found)
}

/// A saga whose journal cannot be read is shown as that, and the rest goes on.
fn unreadable(row: &SagaRow, message: String) -> Trouble {
    Trouble {
        saga_id: row.id,
        definition: row.definition_name.to_string(),
        business_key: row.business_key.to_string(),
        phase: row.phase.name(),
        step: None,
        action: "do",
        code: "saga.unreadable".to_owned(),
        message,
        since: Moment(row.started_at),
        applied: Vec::new(),
        can: Vec::new(),
    }
}
