//! What goes wrong, as `application/problem+json` (RFC 9457) with the codes of OPERATIONS.md section 10.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::operations::{Exit, Failure, NotPerformed, PlanNotMoved};

/// A problem, as programs read it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    /// `urn:sagabus:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem in a few words.
    title: &'static str,
    /// The status again.
    status: u16,
    /// What happened, for people.
    detail: String,
    /// The path that was asked; of a defect a name that is in the log, too.
    instance: String,
    /// The kind of problem in one word.
    code: &'static str,
    /// What can be done about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    hint: String,
    /// Where the saga stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    phase: Option<&'static str>,
    /// The verbs that would be carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    can: Option<Vec<&'static str>>,
}

/// The kinds: status, code, title.
type Kind = (StatusCode, &'static str, &'static str);

const INVALID: Kind = (StatusCode::BAD_REQUEST, "invalid_request", "The request cannot be");
const UNAUTHENTICATED: Kind = (StatusCode::UNAUTHORIZED, "unauthenticated", "Nobody knows who asks");
const FORBIDDEN: Kind = (StatusCode::FORBIDDEN, "forbidden", "The caller may not");
const NOT_FOUND: Kind = (StatusCode::NOT_FOUND, "not_found", "There is none");
const NO_SUCH_METHOD: Kind = (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "The resource has no such method");
const REFUSED: Kind = (StatusCode::CONFLICT, "refused", "The state does not allow it");
const CHANGED: Kind = (StatusCode::PRECONDITION_FAILED, "changed", "It is not as it was read");
const TOO_LARGE: Kind = (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The request is too large");
const INVALID_DEFINITION: Kind = (StatusCode::UNPROCESSABLE_ENTITY, "invalid_definition", "The definition is wrong");
const PRECONDITION_REQUIRED: Kind =
    (StatusCode::PRECONDITION_REQUIRED, "precondition_required", "The request must say which state it means");
const SLOW_DOWN: Kind = (StatusCode::TOO_MANY_REQUESTS, "slow_down", "Too many at once");
const UNAVAILABLE: Kind = (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Database, engine or issuer do not answer");
const DEFECT: Kind = (StatusCode::INTERNAL_SERVER_ERROR, "defect", "Something that should not happen");

impl Problem {
    fn new((status, code, title): Kind, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:sagabus:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            instance: String::new(),
            code,
            hint: String::new(),
            phase: None,
            can: None,
        }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(INVALID, detail)
    }

    pub(super) fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(UNAUTHENTICATED, detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(FORBIDDEN, detail)
    }

    pub(super) fn no_such_resource() -> Self {
        Self { hint: "/openapi.json lists them".to_owned(), ..Self::new(NOT_FOUND, "there is no such resource") }
    }

    pub(super) fn no_such_method() -> Self {
        Self {
            hint: "/openapi.json lists them".to_owned(),
            ..Self::new(NO_SUCH_METHOD, "there is no such method here")
        }
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(TOO_LARGE, detail)
    }

    /// `what` is named by the `If-Match` that is missing.
    pub(super) fn precondition_required(what: &str) -> Self {
        let hint = format!("If-Match is {what}, as it was read");
        Self { hint, ..Self::new(PRECONDITION_REQUIRED, "If-Match is missing") }
    }

    pub(super) fn slow_down(detail: impl Into<String>) -> Self {
        Self::new(SLOW_DOWN, detail)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let kind = match failure.exit {
            Exit::Usage => INVALID,
            Exit::NotFound => NOT_FOUND,
            Exit::Refused | Exit::Partial => REFUSED,
            Exit::Unreachable | Exit::TimedOut => UNAVAILABLE,
            Exit::InvalidDefinition => INVALID_DEFINITION,
            Exit::Failed => return Self::defect(&failure.to_string()),
        };
        Self { hint: failure.hint, ..Self::new(kind, failure.message) }
    }
}

impl Problem {
    /// The details stay in the log, under a name that the caller is told.
    fn defect(what: &str) -> Self {
        let seed = format!("{what} {}", crate::engine::wall_clock().micros());
        let id = Uuid::new_v5(&Uuid::nil(), seed.as_bytes());
        tracing::error!(%id, error = what, "request failed");
        let detail = format!("the log tells more under {id}");
        Self { instance: format!("urn:uuid:{id}"), ..Self::new(DEFECT, detail) }
    }
}

impl From<NotPerformed> for Problem {
    fn from(why: NotPerformed) -> Self {
        match why {
            NotPerformed::Forbidden(detail) => Self::forbidden(detail),
            NotPerformed::Failed(failure) => failure.into(),
            NotPerformed::Refused { has_changed, phase, message, can } => {
                let kind = if has_changed { CHANGED } else { REFUSED };
                Self { phase: Some(phase), can: Some(can), ..Self::new(kind, message) }
            }
        }
    }
}

impl From<PlanNotMoved> for Problem {
    fn from(why: PlanNotMoved) -> Self {
        match why {
            PlanNotMoved::Forbidden(detail) => Self::forbidden(detail),
            PlanNotMoved::Changed(detail) => Self::new(CHANGED, detail),
            PlanNotMoved::Failed(failure) => failure.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problems of the routes below it, each with the path that was asked.
pub(super) async fn write(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else { return response };
    if problem.instance.is_empty() {
        problem.instance = path;
    }
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, serde_json::to_vec(&problem).expect("a problem is plain data").into())
}
