//! One saga: everything about it, as it stands at the seq of the answer's `ETag`; and what is done to it.

#![expect(unused_qualifications, reason = "the macro `utoipa::path` writes the names of parameters in full")]

use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::operations::{
    self, Acted, ActionRequest, Bar, Caller, DiffLine, DryRun, Explanation, GraphFormat, JournalRow, NOW_HEADER,
    NotPerformed, Opened, Performed, Shown, TimeFormat, Times,
};

use super::ask::{Asked, SagaId, Said, if_match_seq, json, tagged};
use super::guard::Door;
use super::problem::Problem;

/// No query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Which rows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Rows {
    /// Only the facts that say that something went wrong.
    #[serde(default)]
    failed: bool,
}

/// How moments are told in sentences.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Telling {
    /// How sentences tell moments: `iso`, which it is when nothing is said, `relative` or `raw`.
    #[param(inline, nullable = false)]
    time_format: Option<TimeFormat>,
}

impl Telling {
    fn seen_from(&self, opened: &Opened) -> Times {
        Times { format: self.time_format.unwrap_or(TimeFormat::Iso), now: opened.now }
    }
}

/// Beside which other saga.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Beside {
    /// The other saga's id.
    with: Uuid,
}

/// In which language.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Drawing {
    /// In which language; mermaid, if nothing is said.
    #[serde(default)]
    #[param(inline)]
    format: GraphFormat,
}

/// Whether it is only tried.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Trying {
    /// Answer what would follow, and write nothing.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// The saga of the path, as its caller may see it.
pub(super) struct Seen(Opened);

impl FromRequestParts<Door> for Seen {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Problem> {
        let SagaId(id) = SagaId::from_request_parts(parts, door).await?;
        let caller = parts.extensions.get::<Caller>().expect("the guard lets nobody in without");
        Ok(Self(operations::open_for(&door.desk, caller, id).await?))
    }
}

/// An answer about a saga: at which seq it was read, and when.
fn as_of(opened: &Opened, mut response: Response) -> Response {
    let now = HeaderValue::from_str(&opened.now.to_string()).expect("a moment is a word");
    response.headers_mut().insert(NOW_HEADER, now);
    tagged(opened.saga.seq, response)
}

/// One saga: what it waits for, its steps, its journal.
#[utoipa::path(get, path = "/v1/sagas/{id}", tag = "see", params(("id" = Uuid, Path, description = "The saga's id."), Telling),
    responses((status = OK, body = Shown, headers(("ETag" = String, description = "The journal's highest seq, quoted."), ("Sagabus-Now" = String, description = "The database's clock at that moment, RFC 3339.")))))]
pub(super) async fn show_saga(Asked(asked): Asked<Telling>, Seen(opened): Seen) -> Result<Response, Problem> {
    Ok(as_of(&opened, json(&operations::show(&opened, asked.seen_from(&opened)))))
}

/// A saga's journal.
#[utoipa::path(get, path = "/v1/sagas/{id}/journal", tag = "see", params(("id" = Uuid, Path, description = "The saga's id."), Rows),
    responses((status = OK, body = Vec<JournalRow>, headers(("ETag" = String, description = "The journal's highest seq, quoted."), ("Sagabus-Now" = String, description = "The database's clock at that moment, RFC 3339.")))))]
pub(super) async fn journal(Asked(asked): Asked<Rows>, Seen(opened): Seen) -> Result<Response, Problem> {
    let read = if asked.failed { operations::failed_only } else { operations::history };
    Ok(as_of(&opened, json(&read(opened.definition(), &opened.journal))))
}

/// When each step was ready, sent and answered.
#[utoipa::path(get, path = "/v1/sagas/{id}/timeline", tag = "see", params(("id" = Uuid, Path, description = "The saga's id.")),
    responses((status = OK, body = Vec<Bar>, headers(("ETag" = String, description = "The journal's highest seq, quoted."), ("Sagabus-Now" = String, description = "The database's clock at that moment, RFC 3339.")))))]
pub(super) async fn timeline(Asked(Nothing {}): Asked<Nothing>, Seen(opened): Seen) -> Result<Response, Problem> {
    Ok(as_of(&opened, json(&operations::timeline(opened.definition(), &opened.journal))))
}

/// Why a saga stands where it stands: what it waits for, since when, what happens next, what can be done.
#[utoipa::path(get, path = "/v1/sagas/{id}/explanation", tag = "see", params(("id" = Uuid, Path, description = "The saga's id."), Telling),
    responses((status = OK, body = Explanation, headers(("ETag" = String, description = "The journal's highest seq, quoted."), ("Sagabus-Now" = String, description = "The database's clock at that moment, RFC 3339.")))))]
pub(super) async fn explanation(Asked(asked): Asked<Telling>, Seen(opened): Seen) -> Result<Response, Problem> {
    let times = asked.seen_from(&opened);
    Ok(as_of(&opened, json(&opened.explanation(times))))
}

/// Where the histories of two sagas part: their facts without ids, moments and data, of the saga of the path (`a`), of the other one
/// (`b`), or of both.
#[utoipa::path(get, path = "/v1/sagas/{id}/difference", tag = "see", params(("id" = Uuid, Path, description = "The saga's id."), Beside),
    responses((status = OK, body = Vec<DiffLine>)))]
pub(super) async fn difference(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(Beside { with }): Asked<Beside>,
    Seen(a): Seen,
) -> Result<Response, Problem> {
    let b = operations::open_for(&door.desk, &caller, with).await?;
    let (a, b) = ((a.definition(), a.journal.as_slice()), (b.definition(), b.journal.as_slice()));
    Ok(json(&operations::diff_histories(a, b)))
}

/// A saga's steps as a graph, with the state of each.
#[utoipa::path(get, path = "/v1/sagas/{id}/graph", tag = "see", params(("id" = Uuid, Path, description = "The saga's id."), Drawing),
    responses((status = OK, body = String, content_type = "text/plain", headers(("ETag" = String, description = "The journal's highest seq, quoted."), ("Sagabus-Now" = String, description = "The database's clock at that moment, RFC 3339.")))))]
pub(super) async fn graph(Asked(asked): Asked<Drawing>, Seen(opened): Seen) -> Result<Response, Problem> {
    let text = operations::graph(opened.definition(), &opened.saga, asked.format);
    Ok(as_of(&opened, text.into_response()))
}

/// What came of an action: decided, or with `dryRun` what would follow.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ActionAnswer {
    /// An engine decided it.
    Decided(Acted),
    /// What would follow.
    Tried(Box<DryRun>),
}

/// Asks an engine to act on a saga: one of the verbs of repair, or the answer to a step that waits.
///
/// `If-Match` names the seq that the saga was read at: 428 without, 412 when it has moved on. 409 with the phase, the reason and the
/// verbs that can, when the state does not allow it. 503 when no engine decides within 10 s: it stays asked for. `approve`, `reject`,
/// `abandon`, and `retry` with `force`, need the role approver.
#[utoipa::path(post, path = "/v1/sagas/{id}/actions", tag = "repair",
    params(("id" = Uuid, Path, description = "The saga's id."), ("If-Match" = String, Header, description = "The saga's ETag."), Trying),
    request_body = ActionRequest, responses((status = OK, body = ActionAnswer)))]
pub(super) async fn act(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    SagaId(id): SagaId,
    Asked(asked): Asked<Trying>,
    headers: HeaderMap,
    Said(request): Said<ActionRequest>,
) -> Result<Response, Problem> {
    let expect_seq = if_match_seq(&headers)?;
    match operations::perform(&door.desk, &caller, id, &request, (expect_seq, asked.dry_run)).await {
        Ok(Performed::Decided(acted)) => Ok(json(&ActionAnswer::Decided(acted))),
        Ok(Performed::Tried(tried)) => Ok(tagged(tried.seq, json(&ActionAnswer::Tried(tried)))),
        Err(why) => {
            if let NotPerformed::Forbidden(said) = &why {
                let verb = request.verb().map_or("act", |verb| verb.name());
                let target = id.to_string();
                operations::denied(&door.desk.asking, &caller.who, verb, &target, &request.reason, said).await?;
            }
            Err(why.into())
        }
    }
}
