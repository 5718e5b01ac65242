//! Plans and jobs as people and programs see them, and what a person does with them: apply, pause, resume, cancel.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::Sha256;
use crate::store::{Console, ItemFilter, ItemRow, PlanFilter, PlanPace, PlanProgress, PlanRow, PlanState};

use super::bulk::{Draft, EffectJson, ReasonJson, item_digest, plan_hash, reasons};
use super::failure::{Exit, Failure};
use super::job::{Steer, may_apply};
use super::moments::Moment;
use super::words::{Word, maybe_word};

/// Items that are read by one statement to check a hash.
const HASHED_PAGE: usize = 1_000;

/// A plan, or the job that it became, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanJson {
    /// `p31`; null for one that is not saved.
    pub id: Option<String>,
    /// The verb's name.
    pub verb: String,
    /// The whole action.
    #[schema(value_type = serde_json::Value)]
    pub action: Box<RawValue>,
    /// Which sagas, as it was said.
    pub selected: String,
    /// How many sagas would be acted on.
    pub eligible: usize,
    /// How many would not.
    pub refused: usize,
    /// Why not, the most first; null in lists.
    pub refusals: Option<Vec<ReasonJson>>,
    /// SHA-256 over the action and every item: 64 hexadecimal digits.
    #[schema(value_type = String)]
    pub hash: Sha256,
    /// Who planned; null for one that is not saved, as the following.
    pub planned_by: Option<String>,
    /// When.
    pub planned_at: Option<Moment>,
    /// It may be applied until then.
    pub valid_until: Option<Moment>,
    /// Somebody else than who planned has to apply it.
    pub needs_second_person: bool,
    /// `planned`, `applying`, `paused`, `done`, `partial`, `cancelled` or `expired`.
    #[serde(deserialize_with = "maybe_word")]
    #[schema(value_type = Option<String>)]
    pub state: Option<Word>,
    /// Why it waits, or how it ended.
    pub message: Option<String>,
    /// When it ended.
    pub ended_at: Option<Moment>,
    /// Once it was applied.
    pub job: Option<JobJson>,
}

/// A job, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobJson {
    /// Who applied the plan.
    pub applied_by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub applied_at: Moment,
    /// Items a time, such as `20/s`.
    pub rate: String,
    /// In waves, each after the one before it was decided.
    pub ramp: bool,
    /// No more items than this.
    pub max: Option<u32>,
    /// Pauses by itself when more of a hundred go wrong.
    pub stop_on_error_percent: Option<u32>,
    /// Items whose actions were asked for.
    pub released: u32,
    /// Not decided yet.
    pub pending: u32,
    /// Carried out.
    pub applied: u32,
    /// Refused: the saga has changed since it was planned.
    pub refused: u32,
    /// There is no such saga any more, or its journal cannot be read.
    pub failed: u32,
    /// Not eligible, beyond the maximum, or left when the job ended.
    pub skipped: u32,
    /// Of those that were carried out: stuck again, although the plan said otherwise.
    pub stuck_again: u32,
}

/// A saga of a plan, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemJson {
    /// The saga.
    pub saga_id: Uuid,
    /// Its key; null when there is no such saga any more.
    pub business_key: Option<String>,
    /// Its journal when it was planned.
    pub seq: u32,
    /// What would follow; null when the saga could not be read.
    pub effect: Option<EffectJson>,
    /// `pending`, `applied`, `refused`, `failed` or `skipped`.
    pub state: String,
    /// Why it was refused.
    pub message: Option<String>,
    /// Carried out and stuck again.
    pub stuck_again: bool,
}

/// A plan with its sagas.
#[derive(Clone, Debug, Serialize)]
pub struct PlanShown {
    /// The plan.
    #[serde(flatten)]
    pub plan: PlanJson,
    /// Its sagas in the order of their ids, as many as were asked for.
    pub items: Vec<ItemJson>,
}

/// The number of `p31`.
///
/// # Errors
/// It is no such name, for people.
pub fn plan_number(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix('p').unwrap_or_default();
    digits.parse().map_err(|_| "plans are called p1, p2, p3 ...: sagabus plan list shows them".to_owned())
}

/// A plan as it was tried, not saved.
pub fn drafted(draft: &Draft, selected: &str, minimum: u32) -> PlanJson {
    let eligible = draft.eligible();
    PlanJson {
        id: None,
        verb: draft.verb.name().to_owned(),
        action: RawValue::from_string(serde_json::to_string(&draft.verb).expect("a verb is plain data"))
            .expect("it is JSON"),
        selected: selected.to_owned(),
        eligible,
        refused: draft.items.len() - eligible,
        refusals: Some(draft.reasons()),
        hash: draft.hash(),
        planned_by: None,
        planned_at: None,
        valid_until: None,
        needs_second_person: eligible > usize::try_from(minimum).unwrap_or(usize::MAX),
        state: None,
        message: None,
        ended_at: None,
        job: None,
    }
}

/// A plan as it is stored, without the reasons of its refusals.
pub fn plan_json(row: PlanRow) -> PlanJson {
    PlanJson {
        id: Some(format!("p{}", row.number)),
        verb: row.verb,
        action: RawValue::from_string(row.request).unwrap_or_else(|_| RawValue::NULL.to_owned()),
        selected: row.selected,
        eligible: usize::try_from(row.eligible).unwrap_or_default(),
        refused: usize::try_from(row.ineligible).unwrap_or_default(),
        refusals: None,
        hash: row.hash,
        planned_by: Some(row.planned_by),
        planned_at: Some(Moment(row.planned_at)),
        valid_until: Some(Moment(row.valid_until)),
        needs_second_person: row.needs_second,
        state: Some(row.state.name()),
        message: row.message,
        ended_at: row.ended_at.map(Moment),
        job: row.job.map(|job| {
            let PlanProgress { pending, applied, refused, failed, skipped, stuck_again } = job.progress;
            JobJson {
                applied_by: job.applied_by,
                reason: job.reason,
                applied_at: Moment(job.applied_at),
                rate: job.pace.rate,
                ramp: job.pace.ramp,
                max: job.pace.items_max,
                stop_on_error_percent: job.pace.stop_percent,
                released: job.released,
                pending,
                applied,
                refused,
                failed,
                skipped,
                stuck_again,
            }
        }),
    }
}

pub(super) fn item_json(row: ItemRow) -> ItemJson {
    ItemJson {
        saga_id: row.saga_id,
        business_key: row.business_key,
        seq: row.seq,
        effect: serde_json::from_str(&row.effect).ok(),
        state: row.state,
        message: row.message,
        stuck_again: row.is_stuck_again,
    }
}

pub(super) fn unknown(number: i64) -> Failure {
    Failure::new(Exit::NotFound, format!("there is no plan p{number}"), "sagabus plan list shows them")
}

pub(super) async fn read(console: &Console, number: i64) -> Result<PlanRow, Failure> {
    console.plan(number).await?.ok_or_else(|| unknown(number))
}

/// One plan, with the reasons of its refusals.
///
/// # Errors
/// There is none (exit 3), or the database does not answer.
pub async fn plan(console: &Console, number: i64) -> Result<PlanJson, Failure> {
    whole(console, read(console, number).await?).await
}

/// A plan as it was read, with the reasons of its refusals.
pub(super) async fn whole(console: &Console, row: PlanRow) -> Result<PlanJson, Failure> {
    let refused = console.refused_items(row.number).await?;
    let counted =
        refused.iter().map(|(refusal, sagas)| (refusal.as_str(), usize::try_from(*sagas).unwrap_or_default()));
    Ok(PlanJson { refusals: Some(reasons(counted)), ..plan_json(row) })
}

/// One plan with its sagas, the first `limit` of them, and whether there are more.
///
/// # Errors
/// There is none (exit 3), or the database does not answer.
pub async fn show_plan(console: &Console, number: i64, limit: usize) -> Result<(PlanShown, bool), Failure> {
    let plan = plan(console, number).await?;
    let mut found = console.plan_items(number, ItemFilter::default(), limit.saturating_add(1)).await?;
    let is_cut = found.len() > limit;
    found.truncate(limit);
    Ok((PlanShown { plan, items: found.into_iter().map(item_json).collect() }, is_cut))
}

/// Plans, newest first, or only those that were applied; and whether the list is cut.
///
/// # Errors
/// The database does not answer.
pub async fn plans(console: &Console, jobs_only: bool, limit: usize) -> Result<(Vec<PlanJson>, bool), Failure> {
    let filter = PlanFilter { jobs_only, ..PlanFilter::default() };
    let mut found = console.plans(&filter, limit.saturating_add(1)).await?;
    let is_cut = found.len() > limit;
    found.truncate(limit);
    Ok((found.into_iter().map(plan_json).collect(), is_cut))
}

/// One plan as it stands, without the reasons of its refusals.
///
/// # Errors
/// There is none (exit 3), or the database does not answer.
pub async fn look_at_plan(console: &Console, number: i64) -> Result<(PlanJson, PlanState), Failure> {
    let row = read(console, number).await?;
    let state = row.state;
    Ok((plan_json(row), state))
}

/// Whether `who` may apply the plan.
///
/// # Errors
/// There is none (exit 3), or it may not be applied, or not by them (exit 4).
pub async fn check_apply(console: &Console, number: i64, who: &str) -> Result<(), Failure> {
    may_apply(&read(console, number).await?, who).map_err(|why| refused("apply", number, &why))
}

/// A job that would be steered.
///
/// # Errors
/// There is none (exit 3), or its state does not allow it (exit 4).
pub async fn check_steer(console: &Console, number: i64, steer: Steer) -> Result<PlanJson, Failure> {
    let row = read(console, number).await?;
    steer.leads_to(row.state).map_err(|why| refused(steer.name(), number, &why))?;
    Ok(plan_json(row))
}

fn refused(verb: &str, number: i64, why: &str) -> Failure {
    Failure::new(Exit::Refused, format!("{verb} of p{number} refused: {why}"), "")
}

/// Makes a job of a plan: whatever `serve` runs on this database works on it.
///
/// # Errors
/// There is no such plan (exit 3), it may not be applied, or not by `who`, or its items are not what its hash says (exit 4).
pub async fn apply(
    console: &Console,
    number: i64,
    who: &str,
    reason: &str,
    pace: &PlanPace,
) -> Result<PlanJson, Failure> {
    let before = read(console, number).await?;
    if before.state == PlanState::Planned && stored_hash(console, number, &before.request).await? != before.hash {
        let message = format!("apply refused: the items of p{number} are not those that its hash was made of");
        return Err(Failure::new(Exit::Refused, message, "somebody has changed the database: plan again"));
    }
    // The database judges, and audits also what it refuses; what it said is told in words.
    let applied = console.apply_plan(number, who, reason, pace).await?;
    let after = read(console, number).await?;
    if applied {
        return Ok(plan_json(after));
    }
    let why = may_apply(&before, who).and_then(|()| may_apply(&after, who)).err();
    let why = why.unwrap_or_else(|| "it is not as it was".to_owned());
    Err(refused("apply", number, &why))
}

async fn stored_hash(console: &Console, number: i64, request: &str) -> Result<Sha256, Failure> {
    let (mut after, mut digests) = (Uuid::nil(), Vec::new());
    loop {
        let page = console.hashed_items(number, after, HASHED_PAGE).await?;
        let Some((last, ..)) = page.last() else { break };
        after = *last;
        digests
            .extend(page.iter().map(|(id, seq, effect, refusal)| item_digest(*id, *seq, effect, refusal.as_deref())));
    }
    Ok(plan_hash(request, digests.into_iter()))
}

/// Pauses, resumes or cancels.
///
/// # Errors
/// There is no such plan (exit 3), or its state does not allow it (exit 4).
pub async fn steer(console: &Console, number: i64, steer: Steer, who: &str, reason: &str) -> Result<PlanJson, Failure> {
    let before = read(console, number).await?;
    let to = steer.leads_to(before.state).map_err(|why| refused(steer.name(), number, &why))?;
    let is_steered = console.steer_plan(number, (before.state, to), steer.name(), who, reason).await?;
    let after = read(console, number).await?;
    if is_steered {
        Ok(plan_json(after))
    } else {
        Err(refused(steer.name(), number, &format!("it is {}", after.state.name())))
    }
}
