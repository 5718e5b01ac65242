//! `POST /v1/sagas`: starts a saga, once for each business key.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::operations::{self, Caller, StartOutcome, StartRequest, StartedJson};

use super::ask::{Asked, Said, json};
use super::guard::Door;
use super::problem::Problem;
use super::saga::Nothing;

/// Sagas that are being started at once: each has a producer of its own.
static STARTS: Semaphore = Semaphore::const_new(MOST);
const MOST: usize = 8;

/// Starts a saga, idempotently: its business key follows from the data.
///
/// 201 when it has begun, 200 when it was there with the same data, 409 with other data. 202 when its trigger lies in Kafka and no
/// engine has come to it within 10 s: it begins when one does. A service that starts many writes triggers to Kafka itself.
#[utoipa::path(post, path = "/v1/sagas", tag = "steer", request_body = StartRequest,
    responses((status = CREATED, body = StartedJson, headers(("Location" = String, description = "Where the saga is."))),
        (status = OK, body = StartedJson, description = "It was there.", headers(("Location" = String, description = "Where the saga is."))),
        (status = ACCEPTED, body = StartedJson, description = "It will be there.", headers(("Location" = String, description = "Where the saga will be.")))))]
pub(super) async fn start(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(Nothing {}): Asked<Nothing>,
    Said(request): Said<StartRequest>,
) -> Result<Response, Problem> {
    let permit = STARTS.try_acquire();
    let _permit = permit.map_err(|_| Problem::slow_down(format!("{MOST} sagas are being started already")))?;
    let started = operations::start_for(&door.desk, &caller, &request).await?;
    let status = match started.outcome {
        StartOutcome::Started => StatusCode::CREATED,
        StartOutcome::Exists => StatusCode::OK,
        StartOutcome::Published => StatusCode::ACCEPTED,
    };
    let location = HeaderValue::from_str(&format!("/v1/sagas/{}", started.saga_id)).expect("an id is a word");
    Ok((status, [(header::LOCATION, location)], json(&started)).into_response())
}
