//! What people hold: steps, definitions, participants.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::operations::{self, Caller, HoldJson, HoldRequest, HoldScope, hold_number};

use super::admin::Why;
use super::ask::{Asked, Named, Said, json};
use super::guard::Door;
use super::problem::Problem;
use super::saga::{Nothing, Trying};

/// What is held, oldest first.
///
/// Nothing of a held step is sent, in either direction, and its timers stand still. A token for some definitions sees holds of these and of
/// participants.
#[utoipa::path(get, path = "/v1/holds", tag = "see", responses((status = OK, body = Vec<HoldJson>)))]
pub(super) async fn list_holds(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Problem> {
    Ok(json(&operations::holds(&door.desk.reading, &caller).await?))
}

/// Holds a definition, a step or a participant, for all sagas at once.
///
/// Commands that were decided before are sent still; answers are taken as ever. 409 where it is held already. Needs a token for all
/// definitions.
#[utoipa::path(post, path = "/v1/holds", tag = "repair", params(Trying), request_body = HoldRequest,
    responses((status = CREATED, body = HoldScope), (status = OK, body = HoldScope, description = "It was only tried.")))]
pub(super) async fn hold(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(asked): Asked<Trying>,
    Said(request): Said<HoldRequest>,
) -> Result<Response, Problem> {
    let console = if asked.dry_run { &door.desk.reading } else { &door.desk.asking };
    let held = operations::hold(console, &request, &caller.who, asked.dry_run).await?;
    let status = if asked.dry_run { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, json(&held)).into_response())
}

/// Releases what is held: timers go on where they stood. Needs a token for all definitions.
#[utoipa::path(post, path = "/v1/holds/{id}/release", tag = "repair",
    params(("id" = String, Path, description = "The hold's name: h1, h2 ...", pattern = "^h[0-9]{1,18}$"), Trying), request_body = Why,
    responses((status = OK, body = HoldScope)))]
pub(super) async fn release(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(name): Named,
    Asked(asked): Asked<Trying>,
    Said(why): Said<Why>,
) -> Result<Response, Problem> {
    let number = hold_number(&name).map_err(Problem::invalid)?;
    let console = if asked.dry_run { &door.desk.reading } else { &door.desk.asking };
    Ok(json(&operations::release(console, number, &why.reason, &caller.who, asked.dry_run).await?))
}
