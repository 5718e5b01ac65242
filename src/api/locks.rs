//! `/v1/locks`: what holds up what. For viewers: it looks only, and holds nobody's data; with a token for all definitions, since a session
//! belongs to none.

use axum::extract::State;
use axum::response::Response;

use crate::operations::{self, LocksJson};

use super::ask::{Asked, json};
use super::guard::Door;
use super::problem::Problem;
use super::saga::Nothing;

/// What holds up what: sessions of the database that wait for each other or are idle within a transaction, and what Sagabus itself holds.
/// Needs a token for all definitions.
///
/// Statements are told without the values in them.
#[utoipa::path(get, path = "/v1/locks", tag = "trouble", responses((status = OK, body = LocksJson)))]
pub(super) async fn locks(State(door): State<Door>, Asked(Nothing {}): Asked<Nothing>) -> Result<Response, Problem> {
    Ok(json(&operations::locks(&door.desk.reading).await?))
}
