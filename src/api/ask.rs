//! What requests say, read strictly: what is not known is refused, and every refusal is a problem like any other.

#![expect(clippy::result_large_err, reason = "a problem is made once a request, and is its answer")]

use std::fmt::Display;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::core::Sha256;
use crate::operations::plan_number;

use super::problem::Problem;

/// The greatest body of a request, in bytes: as a record of Kafka's default.
const BODY_MAX: usize = 1_048_576;
/// Items of a page, and of a list that is cut.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

/// The query of a request. Its type refuses what it does not know.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(asked)| Self(asked)).map_err(|error| Problem::invalid(error.body_text()))
    }
}

/// The body of a request: JSON that says to be JSON, which no form of a foreign page can.
pub(super) struct Said<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Said<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().is_none_or(|kind| !kind.trim().eq_ignore_ascii_case("application/json")) {
            return Err(Problem::invalid("Content-Type is not application/json"));
        }
        let bytes = axum::body::to_bytes(request.into_body(), BODY_MAX)
            .await
            .map_err(|_| Problem::too_large(format!("a body of more than {BODY_MAX} bytes, or one that broke off")))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Problem::invalid(format!("body: {error}")))
    }
}

/// The saga's id in the path.
pub(super) struct SagaId(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for SagaId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<Uuid>::from_request_parts(parts, state).await;
        read.map(|Path(id)| Self(id))
            .map_err(|_| Problem::invalid("a saga's id is a UUID; /v1/find finds by anything else"))
    }
}

/// How many items are asked for.
pub(super) fn size(name: &str, asked: Option<usize>) -> Result<usize, Problem> {
    match asked.unwrap_or(PAGE) {
        size @ 1..=PAGE_MAX => Ok(size),
        _ => Err(Problem::invalid(format!("{name} is 1 to {PAGE_MAX}"))),
    }
}

/// A name in the path.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<String>::from_request_parts(parts, state).await;
        read.map(|Path(name)| Self(name)).map_err(|error| Problem::invalid(error.body_text()))
    }
}

/// The plan's number in the path.
pub(super) struct PlanId(pub(super) i64);

impl<S: Send + Sync> FromRequestParts<S> for PlanId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Named(name) = Named::from_request_parts(parts, state).await?;
        plan_number(&name).map(Self).map_err(Problem::invalid)
    }
}

/// The parked message's number in the path.
pub(super) struct ParkedId(pub(super) i64);

impl<S: Send + Sync> FromRequestParts<S> for ParkedId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<i64>::from_request_parts(parts, state).await;
        read.map(|Path(id)| Self(id)).map_err(|_| Problem::invalid("a parked message's id is a number"))
    }
}

/// The seq that `If-Match` names.
pub(super) fn if_match_seq(headers: &HeaderMap) -> Result<u32, Problem> {
    let read = |tag: &str| tag.parse().ok();
    if_match(headers, ("the ETag of a saga, such as \"7\"", read))
}

/// The hash that `If-Match` names.
pub(super) fn if_match_hash(headers: &HeaderMap) -> Result<Sha256, Problem> {
    if_match(headers, ("the ETag of a plan: its hash in quotes", Sha256::parse))
}

/// What `If-Match` names: one tag, in quotes.
fn if_match<T>(headers: &HeaderMap, (what, read): (&str, impl Fn(&str) -> Option<T>)) -> Result<T, Problem> {
    let said = headers.get(header::IF_MATCH).ok_or_else(|| Problem::precondition_required(what))?;
    let quoted = said.to_str().ok().and_then(|said| said.trim().strip_prefix('"')?.strip_suffix('"'));
    quoted.and_then(read).ok_or_else(|| Problem::invalid(format!("If-Match is not {what}")))
}

/// Data as JSON.
pub(super) fn json(data: &impl Serialize) -> Response {
    let text = serde_json::to_vec(data).expect("answers are plain data");
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

/// Data of a saga as it stands at its seq, or of a plan with its hash.
pub(super) fn tagged(tag: impl Display, mut response: Response) -> Response {
    let tag = HeaderValue::from_str(&format!("\"{tag}\"")).expect("digits in quotes");
    response.headers_mut().insert(header::ETAG, tag);
    response
}
