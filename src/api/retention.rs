//! `/v1/retention`: how long sagas are kept. For a token for all definitions: what is told and removed is of all of them.

#![expect(unused_qualifications, reason = "the macro `utoipa::path` writes the names of parameters in full")]

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::operations::{self, Caller, Keeping, PeriodJson, RetentionReport, RetentionRequest, RetentionStep};

use super::ask::{Asked, Said, json};
use super::guard::Door;
use super::problem::Problem;
use super::saga::Nothing;

/// How long sagas would be kept.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Kept {
    /// How long sagas are kept after their end, in seconds: a day at least, and longer than topics hold records.
    #[param(maximum = 3_155_760_000_u64)]
    keep_seconds: u64,
    /// How long topics hold a record, in seconds, where Kafka is not to be asked.
    #[param(nullable = false)]
    topics_hold_seconds: Option<u64>,
}

/// The tables of the journal by their periods: rows, bytes, the oldest saga that has not ended. Needs a token for all definitions.
#[utoipa::path(get, path = "/v1/retention", tag = "see", responses((status = OK, body = Vec<PeriodJson>)))]
pub(super) async fn periods(State(door): State<Door>, Asked(Nothing {}): Asked<Nothing>) -> Result<Response, Problem> {
    Ok(json(&operations::periods(&door.desk.reading).await?))
}

/// What a run would remove, as its report: the dry run of one. Needs a token for all definitions.
///
/// 409 when sagas have to be kept longer. 503 also when there are so many that they are not counted within 10 s.
#[utoipa::path(get, path = "/v1/retention/removable", tag = "see", params(Kept), responses((status = OK, body = RetentionReport)))]
pub(super) async fn removable(
    State(door): State<Door>,
    Asked(Kept { keep_seconds, topics_hold_seconds }): Asked<Kept>,
) -> Result<Response, Problem> {
    Ok(json(&operations::removable(&door.desk, Keeping { keep_seconds, topics_hold_seconds }).await?))
}

/// Removes sagas that ended long ago, the tables of their periods and other old records, for some 10 s: a step of a run.
///
/// While `next` is not null there is more to do, and the next step says it as `from`. Nothing goes on by itself between two steps: who
/// stops asking has stopped the run, and another one finds what is left. A step whose answer was lost is asked for again, as it was.
/// 409 when sagas have to be kept longer, or while another process is at it. Audited, each step by itself. Needs a token for all definitions.
#[utoipa::path(post, path = "/v1/retention/steps", tag = "admin", request_body = RetentionRequest,
    responses((status = OK, body = RetentionStep)))]
pub(super) async fn step(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(Nothing {}): Asked<Nothing>,
    Said(request): Said<RetentionRequest>,
) -> Result<Response, Problem> {
    Ok(json(&operations::retain_step(&door.desk, &caller.who, &request).await?))
}
