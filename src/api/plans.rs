//! `/v1/operations`: bulk actions. A plan and the job that it becomes are one resource; its `ETag` is the hash of what was planned.

#![expect(unused_qualifications, reason = "the macro `utoipa::path` writes the names of parameters in full")]

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::operations::{
    self, ApprovalJson, ApprovalRequest, Caller, ItemJson, ItemState, Page, PlanActionRequest, PlanJson, PlanNotMoved,
    PlanRequest,
};

use super::ask::{Asked, PlanId, Said, if_match_hash, json, size, tagged};
use super::guard::Door;
use super::problem::Problem;
use super::saga::{Nothing, Trying};

/// Which plans.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Plans {
    /// Only plans that were applied.
    #[serde(default)]
    jobs_only: bool,
    /// Items of the page: 100, at most 1000.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    page_size: Option<usize>,
    /// `nextPageToken` of the page before, with the same filter.
    #[param(nullable = false, pattern = "^[0-9a-f]{64}$")]
    page_token: Option<String>,
}

/// Which items of a plan.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Items {
    /// Only items of which this became.
    #[param(inline, nullable = false)]
    state: Option<ItemState>,
    /// Items of the page: 100, at most 1000.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    page_size: Option<usize>,
    /// `nextPageToken` of the page before, with the same filter.
    #[param(nullable = false, pattern = "^[0-9a-f]{64}$")]
    page_token: Option<String>,
}

/// Plans of bulk actions and the jobs that they became, newest first.
///
/// A token for some definitions sees those plans alone whose sagas are all of these definitions.
#[utoipa::path(get, path = "/v1/operations", tag = "bulk", params(Plans), responses((status = OK, body = Page<PlanJson>)))]
pub(super) async fn list_plans(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<Plans>,
) -> Result<Response, Problem> {
    let page = (size("pageSize", asked.page_size)?, asked.page_token.as_deref());
    Ok(json(&operations::page_of_plans(&door.desk.reading, &caller, asked.jobs_only, page).await?))
}

/// Plans an action on many sagas. Nothing is done: the plan says what would be sent for each, and which are not eligible.
///
/// With `dryRun` it is not even saved, and the answer is 200.
#[utoipa::path(post, path = "/v1/operations", tag = "bulk", params(Trying), request_body = PlanRequest,
    responses((status = CREATED, body = PlanJson, headers(
        ("ETag" = String, description = "The plan's hash, quoted."), ("Location" = String, description = "Where the plan is."))),
        (status = OK, body = PlanJson, description = "What would be planned.")))]
pub(super) async fn plan(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<Trying>,
    Said(request): Said<PlanRequest>,
) -> Result<Response, Problem> {
    let planned = operations::plan_for(&door.desk, &caller, &request, asked.dry_run).await?;
    let response = hashed(&planned);
    let Some(id) = &planned.id else { return Ok(response) };
    let location = HeaderValue::from_str(&format!("/v1/operations/{id}")).expect("a plan's name is a word");
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], response).into_response())
}

/// Above how many sagas a second person applies a plan.
#[utoipa::path(get, path = "/v1/operations/approval", tag = "bulk", responses((status = OK, body = ApprovalJson)))]
pub(super) async fn show_approval(
    State(door): State<Door>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Problem> {
    Ok(json(&operations::approval(&door.desk.reading).await?))
}

/// Changes above how many sagas a second person applies a plan. It holds at once, also for plans that were made before.
#[utoipa::path(put, path = "/v1/operations/approval", tag = "bulk", request_body = ApprovalRequest,
    responses((status = OK, body = ApprovalJson)))]
pub(super) async fn set_approval(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(Nothing {}): Asked<Nothing>,
    Said(request): Said<ApprovalRequest>,
) -> Result<Response, Problem> {
    Ok(json(&operations::set_approval(&door.desk.asking, &request, &caller.who).await?))
}

/// One plan, or the job that it became: how many sagas are eligible, why others are not, how far it is.
#[utoipa::path(get, path = "/v1/operations/{id}", tag = "bulk",
    params(("id" = String, Path, description = "The plan's name: p1, p2 ...", pattern = "^p[0-9]{1,18}$")),
    responses((status = OK, body = PlanJson, headers(("ETag" = String, description = "The plan's hash, quoted.")))))]
pub(super) async fn show_plan(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    PlanId(number): PlanId,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Problem> {
    Ok(hashed(&operations::plan_seen(&door.desk.reading, &caller, number).await?))
}

/// The sagas of a plan in the order of their ids: what would be sent for each, and what became of it.
#[utoipa::path(get, path = "/v1/operations/{id}/items", tag = "bulk",
    params(("id" = String, Path, description = "The plan's name: p1, p2 ...", pattern = "^p[0-9]{1,18}$"), Items),
    responses((status = OK, body = Page<ItemJson>)))]
pub(super) async fn plan_items(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    PlanId(number): PlanId,
    Asked(asked): Asked<Items>,
) -> Result<Response, Problem> {
    let page = (size("pageSize", asked.page_size)?, asked.page_token.as_deref());
    Ok(json(&operations::page_of_items(&door.desk.reading, &caller, number, asked.state, page).await?))
}

/// Applies a plan, which becomes a job, or pauses, resumes or cancels one.
///
/// `If-Match` names the plan's hash: 428 without, 412 when it has another. 409 when its state does not allow it, or when so many sagas
/// need a second person and the caller has planned it. Above that number, and for what an approver alone may do to one saga, applying
/// needs the role approver.
#[utoipa::path(post, path = "/v1/operations/{id}/actions", tag = "bulk",
    params(("id" = String, Path, description = "The plan's name: p1, p2 ...", pattern = "^p[0-9]{1,18}$"),
        ("If-Match" = String, Header, description = "The plan's ETag.", pattern = "^\"[0-9a-f]{64}\"$"), Trying),
    request_body = PlanActionRequest,
    responses((status = OK, body = PlanJson, headers(("ETag" = String, description = "The plan's hash, quoted.")))))]
pub(super) async fn move_plan(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    PlanId(number): PlanId,
    Asked(asked): Asked<Trying>,
    headers: HeaderMap,
    Said(request): Said<PlanActionRequest>,
) -> Result<Response, Problem> {
    let hash = if_match_hash(&headers)?;
    match operations::move_plan(&door.desk, &caller, number, &request, (hash, asked.dry_run)).await {
        Ok(plan) => Ok(hashed(&plan)),
        Err(why) => {
            if let PlanNotMoved::Forbidden(said) = &why {
                let (verb, target) = (request.action.name(), format!("p{number}"));
                operations::denied(&door.desk.asking, &caller.who, verb, &target, &request.reason, said).await?;
            }
            Err(why.into())
        }
    }
}

fn hashed(plan: &PlanJson) -> Response {
    tagged(plan.hash, json(plan))
}
