//! Plans and jobs as programs look at them, page by page, and what they do with one: a plan exists for who may see all of its sagas.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::{Sha256, Verb};
use crate::store::{Console, ItemFilter, PlanFilter, PlanPace, PlanRow};

use super::access::{Caller, Role};
use super::act::{checked_reason, takes_only};
use super::actions::role_of;
use super::failure::{Exit, Failure};
use super::job::{Rate, Steer};
use super::pages::{Page, PageToken};
use super::places::Desk;
use super::plan::{
    ItemJson, PlanJson, apply, check_apply, check_steer, item_json, plan_json, read, steer, unknown, whole,
};
use super::sight::hide_said;

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ItemState {
    /// Not decided yet.
    Pending,
    /// Carried out.
    Applied,
    /// The saga has changed since it was planned.
    Refused,
    /// There is no such saga any more, or its journal cannot be read.
    Failed,
    /// Not eligible, beyond the maximum, or left when the job ended.
    Skipped,
}

impl ItemState {
    /// The name that Postgres has for it.
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applied => "applied",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What is done with a plan, or with the job that it became.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum PlanActionName {
    /// Makes a job of a plan.
    Apply,
    /// Asks for nothing more, for now.
    Pause,
    /// Lets a paused job go on; what went wrong so far stops it no more.
    Resume,
    /// Asks for nothing more, for good; a plan that was not applied is withdrawn.
    Cancel,
}

impl PlanActionName {
    /// The verb as the audit names it.
    pub fn name(self) -> &'static str {
        self.steer().map_or("apply", Steer::name)
    }

    fn steer(self) -> Option<Steer> {
        match self {
            Self::Apply => None,
            Self::Pause => Some(Steer::Pause),
            Self::Resume => Some(Steer::Resume),
            Self::Cancel => Some(Steer::Cancel),
        }
    }
}

/// What is to be done with a plan. All but `action` and `reason` belongs to `apply`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanActionRequest {
    /// What to do.
    pub action: PlanActionName,
    /// Why; stored.
    #[schema(min_length = 1)]
    pub reason: String,
    /// Sagas a time: `20/s`, which it is when nothing is said, `300/m` or `1000/h`; at most 1,000 a second.
    #[schema(pattern = "^[1-9][0-9]{0,2}/[smh]$")]
    pub rate: Option<String>,
    /// Begin with waves of 1, 2, 5, 10, 25 ... sagas, each after the one before it was decided.
    pub ramp: Option<bool>,
    /// No more sagas than this.
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub max_items: Option<u32>,
    /// Pause when more of a hundred go wrong: refused, failed, or stuck again. Counted from 20 outcomes on.
    #[schema(maximum = 99)]
    pub stop_on_error_percent: Option<u32>,
}

impl PlanActionRequest {
    /// How a plan is applied.
    fn pace(&self) -> Result<PlanPace, String> {
        let said = [
            ("rate", self.rate.is_some()),
            ("ramp", self.ramp.is_some()),
            ("maxItems", self.max_items.is_some()),
            ("stopOnErrorPercent", self.stop_on_error_percent.is_some()),
        ];
        if self.action != PlanActionName::Apply {
            takes_only(self.action.name(), &[], &said)?;
        }
        let rate = self.rate.as_deref().unwrap_or(Rate::DEFAULT);
        Rate::parse(rate)?;
        if self.max_items == Some(0) {
            return Err("maxItems is at least 1".to_owned());
        }
        if self.stop_on_error_percent.is_some_and(|percent| percent > 99) {
            return Err("stopOnErrorPercent is 0 to 99".to_owned());
        }
        Ok(PlanPace {
            rate: rate.to_owned(),
            ramp: self.ramp.unwrap_or_default(),
            items_max: self.max_items,
            stop_percent: self.stop_on_error_percent,
        })
    }
}

/// Why nothing was done with a plan.
#[derive(Clone, Debug)]
pub enum PlanNotMoved {
    /// The caller may not.
    Forbidden(String),
    /// The plan of this number has another hash: for people.
    Changed(String),
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for PlanNotMoved {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A page of the plans that exist for the caller, newest first, or only of those that were applied.
///
/// # Errors
/// The database does not answer, or the token is of another list (exit 2).
pub async fn page_of_plans(
    console: &Console,
    caller: &Caller,
    jobs_only: bool,
    (size, token): (usize, Option<&str>),
) -> Result<Page<PlanJson>, Failure> {
    let within = caller.definitions.clone();
    let asked = format!("plans {jobs_only} {within:?}");
    let here = PageToken::begin(&asked, crate::engine::wall_clock()).go_on(token)?;
    let filter = PlanFilter { jobs_only, within, before: here.number(), ..PlanFilter::default() };
    let found = console.plans(&filter, size.saturating_add(1)).await?;
    let mut page = Page::of(found, size, |last| here.after_number(last.number)).map(plan_json);
    hide_said(console, &mut page.items, caller.sight()).await?;
    Ok(page)
}

/// A page of a plan's items in the order of their sagas' ids, of all or of one state. Each has one place, whatever becomes of it.
///
/// # Errors
/// There is no such plan for the caller (exit 3), the database does not answer, or the token is of another list (exit 2).
pub async fn page_of_items(
    console: &Console,
    caller: &Caller,
    number: i64,
    state: Option<ItemState>,
    (size, token): (usize, Option<&str>),
) -> Result<Page<ItemJson>, Failure> {
    seen_by(console, caller, number).await?;
    let state = state.map(ItemState::name);
    let asked = format!("items of {number} {state:?}");
    let here = PageToken::begin(&asked, crate::engine::wall_clock()).go_on(token)?;
    let filter = ItemFilter { state, after: here.id().unwrap_or_default() };
    let found = console.plan_items(number, filter, size.saturating_add(1)).await?;
    Ok(Page::of(found, size, |last| here.after(last.saga_id)).map(item_json))
}

/// One plan, with the reasons of its refusals.
///
/// # Errors
/// There is none for the caller (exit 3), or the database does not answer.
pub async fn plan_seen(console: &Console, caller: &Caller, number: i64) -> Result<PlanJson, Failure> {
    let mut plan = whole(console, seen_by(console, caller, number).await?).await?;
    hide_said(console, std::slice::from_mut(&mut plan), caller.sight()).await?;
    Ok(plan)
}

async fn seen_by(console: &Console, caller: &Caller, number: i64) -> Result<PlanRow, Failure> {
    let row = read(console, number).await?;
    let is_seen = match row.definitions.as_slice() {
        [] => caller.definitions.is_none(),
        names => names.iter().all(|name| caller.may_see(name)),
    };
    if is_seen { Ok(row) } else { Err(unknown(number)) }
}

/// The role that applying a plan needs: that of its action, and the approver's where a second person has to.
fn role_to_apply(row: &PlanRow) -> Result<Role, Failure> {
    let verb: Verb = serde_json::from_str(&row.request).map_err(|error| {
        let message = format!("this version cannot read the action of p{}: {error}", row.number);
        Failure::new(Exit::Refused, message, "apply it with the version that planned it, or plan again")
    })?;
    Ok(if row.needs_second { Role::Approver } else { role_of(&verb) })
}

/// Applies the plan with this hash, or steers the job that it became; tries whether that may be when `is_dry_run`.
///
/// # Errors
/// The request cannot be (exit 2), there is no such plan for the caller (3), its state does not allow it (4), the caller may not, or
/// the plan has another hash.
pub async fn move_plan(
    desk: &Desk,
    caller: &Caller,
    number: i64,
    request: &PlanActionRequest,
    (hash, is_dry_run): (Sha256, bool),
) -> Result<PlanJson, PlanNotMoved> {
    let pace = request.pace().map_err(|message| Failure::new(Exit::Usage, message, ""))?;
    let reason = checked_reason(&request.reason)?;
    let row = seen_by(&desk.reading, caller, number).await?;
    if row.hash != hash {
        return Err(PlanNotMoved::Changed(format!("p{number} has the hash {}", row.hash)));
    }
    let to = request.action.steer();
    let role = if to.is_none() { role_to_apply(&row)? } else { Role::Operator };
    caller.check(role).map_err(PlanNotMoved::Forbidden)?;
    let (reading, asking, who) = (&desk.reading, &desk.asking, caller.who.as_str());
    let mut plan = match to {
        None if is_dry_run => {
            check_apply(reading, number, who).await?;
            plan_json(row)
        }
        None => apply(asking, number, who, reason, &pace).await?,
        Some(to) if is_dry_run => check_steer(reading, number, to).await?,
        Some(to) => steer(asking, number, to, who, reason).await?,
    };
    hide_said(reading, std::slice::from_mut(&mut plan), caller.sight()).await?;
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PlanPace, String> {
        let request: PlanActionRequest = serde_json::from_str(text).map_err(|error| error.to_string())?;
        request.pace()
    }

    #[test]
    fn a_pace_is_read_and_belongs_to_apply() {
        let plain = PlanPace { rate: "20/s".to_owned(), ramp: false, items_max: None, stop_percent: None };
        assert_eq!(read(r#"{"action":"apply","reason":"r"}"#), Ok(plain));
        let all = r#"{"action":"apply","reason":"r","rate":"5/m","ramp":true,"maxItems":7,"stopOnErrorPercent":0}"#;
        let pace = PlanPace { rate: "5/m".to_owned(), ramp: true, items_max: Some(7), stop_percent: Some(0) };
        assert_eq!(read(all), Ok(pace));
        let refused = [
            (r#"{"action":"apply","reason":"r","rate":"fast"}"#, "say 20/s"),
            (r#"{"action":"apply","reason":"r","maxItems":0}"#, "at least 1"),
            (r#"{"action":"apply","reason":"r","stopOnErrorPercent":100}"#, "0 to 99"),
            (r#"{"action":"pause","reason":"r","ramp":false}"#, "pause takes no ramp"),
            (r#"{"action":"delete","reason":"r"}"#, "unknown variant"),
            (r#"{"action":"apply"}"#, "missing field `reason`"),
        ];
        for (text, why) in refused {
            let told = read(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
