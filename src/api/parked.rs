//! `/v1/parked-messages`: records put aside. For a token for all definitions: nobody can say which definition a record is for.

#![expect(unused_qualifications, reason = "the macro `utoipa::path` writes the names of parameters in full")]

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::operations::{
    self, Caller, Page, ParkedActed, ParkedActionRequest, ParkedJson, ParkedManyActed, ParkedManyRequest, ParkedQuery,
    ParkedShown, ParkedStateName, Sweep, Sweeping,
};

use super::ask::{Asked, ParkedId, Said, json, size};
use super::guard::Door;
use super::problem::Problem;
use super::saga::{Nothing, Trying};

/// Messages that are chosen at once, at most.
const SWEPT: usize = 10_000;

/// Which records put aside: those for which everything is true that is said.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichParked {
    /// Only messages in this state; all, if nothing is said.
    #[param(inline, nullable = false)]
    state: Option<ParkedStateName>,
    /// Only messages of this topic.
    #[param(nullable = false)]
    topic: Option<String>,
    /// Only messages with this key.
    #[param(nullable = false)]
    key: Option<String>,
    /// Only messages whose reason begins so, such as `malformed`, `orphan` or `orphan: unknown-saga`.
    #[param(nullable = false)]
    why: Option<String>,
    /// Only messages with this code in their reason, such as `trigger-data`.
    #[param(nullable = false)]
    code: Option<String>,
    /// Only messages put aside then or later: RFC 3339.
    #[param(nullable = false, format = DateTime)]
    parked_after: Option<String>,
    /// Only messages put aside earlier.
    #[param(nullable = false, format = DateTime)]
    parked_before: Option<String>,
    /// Items of the page: 100, at most 1000.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    page_size: Option<usize>,
    /// `nextPageToken` of the page before, with the same filter.
    #[param(nullable = false, pattern = "^[0-9a-f]{64}$")]
    page_token: Option<String>,
}

/// What would be done with them.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum SweepName {
    /// They enter the line again.
    Redrive,
    /// They need not be looked at any more.
    Discard,
}

/// Which records put aside that wait, and what for: those for which everything is true that is said.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Sweepable {
    /// What would be done with them.
    #[param(inline)]
    action: SweepName,
    /// Of `redrive`: also after three times, and before an earlier message of the same key.
    #[param(nullable = false)]
    force: Option<bool>,
    /// Only messages of this topic.
    #[param(nullable = false)]
    topic: Option<String>,
    /// Only messages with this key.
    #[param(nullable = false)]
    key: Option<String>,
    /// Only messages whose reason begins so, such as `malformed`, `orphan` or `orphan: unknown-saga`.
    #[param(nullable = false)]
    why: Option<String>,
    /// Only messages with this code in their reason, such as `trigger-data`.
    #[param(nullable = false)]
    code: Option<String>,
    /// Only messages put aside then or later: RFC 3339.
    #[param(nullable = false, format = DateTime)]
    parked_after: Option<String>,
    /// Only messages put aside earlier.
    #[param(nullable = false, format = DateTime)]
    parked_before: Option<String>,
    /// At most this many: 10,000.
    #[param(nullable = false, minimum = 1, maximum = 10_000)]
    limit: Option<usize>,
}

/// Records put aside, newest first. Needs a token for all definitions.
#[utoipa::path(get, path = "/v1/parked-messages", tag = "trouble", params(WhichParked), responses((status = OK, body = Page<ParkedJson>)))]
pub(super) async fn list_parked(
    State(door): State<Door>,
    Asked(asked): Asked<WhichParked>,
) -> Result<Response, Problem> {
    let size = size("pageSize", asked.page_size)?;
    let WhichParked { state, topic, key, why, code, parked_after, parked_before, page_token: token, .. } = asked;
    let filter = ParkedQuery { state, topic, key, why, code, parked_after, parked_before }.filter()?;
    Ok(json(&operations::parked_page(&door.desk.reading, filter, size, token.as_deref()).await?))
}

/// Records put aside that wait and fit, the first in the order of their logs, and what would become of them: by topic and reason, with
/// those that would be refused. Needs a token for all definitions.
///
/// Who works through them asks for some at once by `POST /v1/parked-messages/actions`, in this order, and says `eachByItself`. 404 when
/// none fits.
#[utoipa::path(get, path = "/v1/parked-messages/sweep", tag = "trouble", params(Sweepable), responses((status = OK, body = Sweep)))]
pub(super) async fn sweep(State(door): State<Door>, Asked(asked): Asked<Sweepable>) -> Result<Response, Problem> {
    let Sweepable { action, force, topic, key, why, code, parked_after, parked_before, limit } = asked;
    let sweeping = match (action, force) {
        (SweepName::Redrive, force) => Sweeping::Redrive { force: force.unwrap_or_default() },
        (SweepName::Discard, None) => Sweeping::Discard,
        (SweepName::Discard, Some(_)) => return Err(Problem::invalid("discard takes no force")),
    };
    let limit = limit.unwrap_or(SWEPT);
    if !(1..=SWEPT).contains(&limit) {
        return Err(Problem::invalid(format!("limit is 1 to {SWEPT}")));
    }
    let filter = ParkedQuery { state: None, topic, key, why, code, parked_after, parked_before }.filter()?;
    Ok(json(&operations::choose_parked(&door.desk.reading, &filter, limit, sweeping).await?))
}

/// One record put aside, whole: headers, value, why it was put aside, how often it entered the line again. Needs a token for all
/// definitions.
#[utoipa::path(get, path = "/v1/parked-messages/{id}", tag = "trouble",
    params(("id" = i64, Path, description = "The message's number.", minimum = 1)), responses((status = OK, body = ParkedShown)))]
pub(super) async fn show_parked(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    ParkedId(id): ParkedId,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Problem> {
    Ok(json(&operations::show_parked(&door.desk.reading, id, caller.sight()).await?))
}

/// Sends a record put aside down the line again, as it is or with what a person made of it, or says that nobody needs it.
///
/// An engine judges it: 409 when it would be put aside again, or when its state does not allow it. 503 when no engine judges within
/// 10 s: it stays asked for. Needs a token for all definitions.
#[utoipa::path(post, path = "/v1/parked-messages/{id}/actions", tag = "repair",
    params(("id" = i64, Path, description = "The message's number.", minimum = 1), Trying),
    request_body = ParkedActionRequest, responses((status = OK, body = ParkedActed)))]
pub(super) async fn move_parked(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    ParkedId(id): ParkedId,
    Asked(asked): Asked<Trying>,
    Said(request): Said<ParkedActionRequest>,
) -> Result<Response, Problem> {
    Ok(json(&operations::move_parked(&door.desk, &caller.who, id, &request, asked.dry_run).await?))
}

/// Sends several records put aside down the line again, in the order of their logs, or says that nobody needs them.
///
/// An engine judges each that is sent: what would be put aside again stays parked, and says so. 409 when the state of one does not allow
/// it, and then none is sent, unless `eachByItself` is said; what is discarded already is passed over. 503 when no engine judges within 10 s: they stay asked for. Needs a
/// token for all definitions.
#[utoipa::path(post, path = "/v1/parked-messages/actions", tag = "repair", params(Trying),
    request_body = ParkedManyRequest, responses((status = OK, body = ParkedManyActed)))]
pub(super) async fn move_parked_together(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<Trying>,
    Said(request): Said<ParkedManyRequest>,
) -> Result<Response, Problem> {
    Ok(json(&operations::move_parked_together(&door.desk, &caller.who, &request, asked.dry_run).await?))
}
