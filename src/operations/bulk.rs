//! A plan: the sagas that a condition, a failure group or a file names, and what an action would do to each. It is decided as a dry run
//! is, saga by saga; nothing is asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{Operation, Phase, Rules, Saga, Sha256, Timestamp, Verb};
use crate::store::{Console, NewItem, NewPlan, SagaFilter};

use super::dry_run::{CommandJson, dry_run};
use super::failure::{Exit, Failure};
use super::job::operation_id;
use super::opened::{Plans, look_at};
use super::sight::Sight;
use super::trouble::{Trouble, failures, group_id};
use super::verify::PAGE;

/// Sagas of one plan: more is several plans, and its statement would be larger than 100 MB.
const PLAN_ITEMS: usize = 100_000;
/// Lines of a file that name no saga are told up to this many.
const LINES_TOLD: usize = 5;

/// Which sagas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Those for which this is true.
    Where(SagaFilter),
    /// Those of a group of `failures`.
    Failure(String),
    /// Those that are named, by id or business key; of this definition, where it is said.
    Named(Vec<String>, Option<String>),
}

/// What would follow for one saga, as it is kept with the plan. Data are there as their SHA-256: payloads stay in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectJson {
    /// Where it stands.
    pub phase: String,
    /// Where it would stand.
    pub phase_after: String,
    /// What would be sent.
    pub sends: Vec<SentJson>,
    /// Phases that would be announced.
    pub announces: Vec<String>,
}

/// A command that would be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentJson {
    /// `ce_id`.
    pub id: Uuid,
    /// Where to.
    pub topic: String,
    /// `ce_type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The step's name.
    pub step: String,
    /// `do` or `undo`.
    pub action: String,
    /// From 1.
    pub attempt: u16,
    /// Length of the record's value.
    pub data_bytes: usize,
    /// The SHA-256 of the record's value.
    #[schema(value_type = String)]
    pub data_sha256: Sha256,
}

/// Why sagas are not eligible, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReasonJson {
    /// Without phase and verbs, which differ.
    pub reason: String,
    /// How many.
    pub sagas: usize,
}

/// A plan that is not saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What would be done.
    pub verb: Verb,
    /// In the order of the sagas' ids, each once.
    pub items: Vec<NewItem>,
}

/// What the action would do to the saga as it stands.
pub fn plan_item(rules: Rules<'_>, saga: &Saga, verb: &Verb, now: Timestamp) -> NewItem {
    // The same asking for everybody at any time, so that the same state gives the same plan.
    let (who, reason) = (String::new(), "plan".to_owned());
    let operation = Operation { id: Uuid::nil(), verb: verb.clone(), who, reason, expect_seq: None };
    let tried = dry_run(rules, saga, &operation, now);
    let effect = EffectJson {
        phase: tried.phase.to_owned(),
        phase_after: tried.phase_after.to_owned(),
        sends: tried.commands.into_iter().map(sent).collect(),
        announces: tried.announces.into_iter().map(str::to_owned).collect(),
    };
    NewItem {
        saga_id: saga.id,
        seq: saga.seq,
        leaves_stuck: effect.phase_after == Phase::Stuck.name(),
        effect: serde_json::to_string(&effect).expect("an effect is plain data"),
        refusal: tried.refusal.map(|refusal| refusal.message),
    }
}

fn sent(command: CommandJson) -> SentJson {
    let data = command.data.get().as_bytes();
    SentJson {
        id: command.id,
        topic: command.topic,
        kind: command.kind,
        step: command.step,
        action: command.action.to_owned(),
        attempt: command.attempt,
        data_bytes: data.len(),
        data_sha256: Sha256::of(data),
    }
}

/// What the hash of a plan covers of an item.
pub(super) fn item_digest(saga_id: Uuid, seq: u32, effect: &str, refusal: Option<&str>) -> Sha256 {
    Sha256::of(format!("{saga_id} {seq} {effect} {}", refusal.unwrap_or_default()).as_bytes())
}

/// The hash of a plan: over its action and the digests of its items, in order.
pub(super) fn plan_hash(request: &str, items: impl Iterator<Item = Sha256>) -> Sha256 {
    let mut text = Sha256::of(request.as_bytes()).as_bytes().to_vec();
    items.for_each(|digest| text.extend_from_slice(digest.as_bytes()));
    Sha256::of(&text)
}

/// Why sagas are refused, the most first. A refusal ends in the phase and the verbs that can, which differ for the same reason.
pub(super) fn reasons<'a>(refusals: impl Iterator<Item = (&'a str, usize)>) -> Vec<ReasonJson> {
    let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
    for (refusal, sagas) in refusals {
        let reason = refusal.rsplit_once(" (phase ").map_or(refusal, |(reason, _)| reason);
        *by_reason.entry(reason).or_default() += sagas;
    }
    let reason = |(reason, sagas): (&str, usize)| ReasonJson { reason: reason.to_owned(), sagas };
    let mut reasons: Vec<ReasonJson> = by_reason.into_iter().map(reason).collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.sagas));
    reasons
}

impl Draft {
    /// A plan of these items, in any order.
    pub fn new(verb: Verb, mut items: Vec<NewItem>) -> Self {
        items.sort_by_key(|item| item.saga_id);
        items.dedup_by_key(|item| item.saga_id);
        Self { verb, items }
    }

    /// Over the action and every item: two plans of the same state have the same.
    pub fn hash(&self) -> Sha256 {
        let digest = |item: &NewItem| item_digest(item.saga_id, item.seq, &item.effect, item.refusal.as_deref());
        plan_hash(&self.request(), self.items.iter().map(digest))
    }

    /// How many sagas would be acted on.
    pub fn eligible(&self) -> usize {
        self.items.iter().filter(|item| item.refusal.is_none()).count()
    }

    /// Why the others would not.
    pub fn reasons(&self) -> Vec<ReasonJson> {
        reasons(self.items.iter().filter_map(|item| Some((item.refusal.as_deref()?, 1))))
    }

    fn request(&self) -> String {
        serde_json::to_string(&self.verb).expect("a verb is plain data")
    }

    /// Saves the plan, valid for an hour. Returns its number.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn save(self, console: &Console, selected: &str, who: &str) -> Result<i64, Failure> {
        let plan = NewPlan {
            hash: self.hash(),
            verb: self.verb.name(),
            request: self.request(),
            selected: selected.to_owned(),
            who: who.to_owned(),
            items: self.items,
        };
        Ok(console.write_plan(&plan, operation_id).await?)
    }
}

/// Tries the action on every saga that is selected; where `within` names definitions, there are no sagas but theirs. Reads only.
///
/// # Errors
/// Nothing is selected, or a line names no saga (exit 3); too many sagas (exit 2); the database does not answer.
pub(super) async fn draft(
    console: &Console,
    selection: &Selection,
    verb: &Verb,
    within: Option<&[String]>,
) -> Result<Draft, Failure> {
    let ids = selected(console, selection, within).await?;
    if ids.is_empty() {
        let hint = "sagabus list and sagabus failures show what there is";
        return Err(Failure::new(Exit::NotFound, "no saga is selected", hint));
    }
    let mut items = Vec::new();
    look_at(console, &ids, &mut Plans::default(), Sight::Whole, |snapshot, opened| {
        // A saga that cannot be read is refused as that, and the rest goes on.
        let seq = snapshot.seqs.last().copied().map_or(0, |seq| u32::try_from(seq).unwrap_or_default());
        let unreadable = |why: String| NewItem {
            saga_id: snapshot.row.id,
            seq,
            effect: "null".to_owned(),
            leaves_stuck: false,
            refusal: Some(why),
        };
        items.push(match opened {
            Ok(opened) => plan_item(opened.rules(), &opened.saga, verb, opened.now),
            Err(why) => unreadable(why),
        });
    })
    .await?;
    Ok(Draft::new(verb.clone(), items))
}

async fn selected(console: &Console, selection: &Selection, within: Option<&[String]>) -> Result<Vec<Uuid>, Failure> {
    let is_there = |definition: &str| within.is_none_or(|names| names.iter().any(|name| name == definition));
    let too_many = || {
        let message = format!("more than {PLAN_ITEMS} sagas are selected");
        Failure::new(Exit::Usage, message, "narrow the condition, and make several plans")
    };
    let ids: Vec<Uuid> = match selection {
        Selection::Where(filter) => {
            let found = console.list(&filter.clone().within(within), PLAN_ITEMS).await?;
            found.into_iter().map(|saga| saga.row.id).collect()
        }
        Selection::Failure(group) => {
            let (found, is_cut) = failures(console, PLAN_ITEMS, Sight::Masked).await?;
            if is_cut {
                return Err(too_many());
            }
            let is_member = |trouble: &&Trouble| group_id(trouble) == *group && is_there(&trouble.definition);
            let members: BTreeSet<Uuid> = found.iter().filter(is_member).map(|trouble| trouble.saga_id).collect();
            if members.is_empty() {
                let message = format!("there is no group {group} any more");
                return Err(Failure::new(Exit::NotFound, message, "sagabus failures shows those that there are"));
            }
            members.into_iter().collect()
        }
        Selection::Named(names, definition) => named(console, names, definition.as_deref(), is_there).await?,
    };
    if ids.len() > PLAN_ITEMS { Err(too_many()) } else { Ok(ids) }
}

/// Every line names one saga, or none is planned: a typing error must not look like a saga that needs nothing.
async fn named(
    console: &Console,
    names: &[String],
    definition: Option<&str>,
    is_there: impl Fn(&str) -> bool,
) -> Result<Vec<Uuid>, Failure> {
    let (mut ids, mut wrong) = (BTreeSet::new(), Vec::new());
    let lines: Vec<(usize, &str)> =
        (1..).zip(names.iter().map(|name| name.trim())).filter(|(_, name)| !name.is_empty()).collect();
    for page in lines.chunks(PAGE) {
        let page_names: Vec<&str> = page.iter().map(|(_, name)| *name).collect();
        let mut by_name: HashMap<String, Vec<Uuid>> = HashMap::new();
        let found = console.find(&page_names, definition).await?;
        for saga in found.into_iter().filter(|saga| is_there(&saga.row.definition_name)) {
            by_name.entry(saga.row.business_key.to_string()).or_default().push(saga.row.id);
            by_name.entry(saga.row.id.to_string()).or_default().push(saga.row.id);
        }
        for (line, name) in page {
            // An id may be spelt in several ways.
            let by_id = || by_name.get(&Uuid::try_parse(name).ok()?.to_string());
            match by_name.get(*name).or_else(by_id).map_or(&[] as &[Uuid], Vec::as_slice) {
                [id] => _ = ids.insert(*id),
                [] => wrong.push(format!("line {line}: there is no saga {name}")),
                [_, ..] => wrong.push(format!("line {line}: {name} is a business key of several definitions")),
            }
        }
    }
    if wrong.is_empty() {
        return Ok(ids.into_iter().collect());
    }
    let more = wrong.len().saturating_sub(LINES_TOLD);
    wrong.truncate(LINES_TOLD);
    let rest = if more == 0 { String::new() } else { format!("; and {more} more") };
    Err(Failure::new(Exit::NotFound, format!("{}{rest}", wrong.join("; ")), "nothing is planned"))
}
