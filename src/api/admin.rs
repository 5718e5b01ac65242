//! Tokens and the audit: for the role admin, with a token for all definitions.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::operations::{self, AuditJson, Caller, MadeToken, Page, TokenJson, TokenRequest};

use super::ask::{Asked, Named, Said, json, size};
use super::guard::Door;
use super::problem::Problem;
use super::saga::Nothing;
use super::sagas::Paged;

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Why {
    /// Why; stored.
    #[schema(min_length = 1)]
    pub(super) reason: String,
}

/// Tokens by name, without what they are known by.
#[utoipa::path(get, path = "/v1/tokens", tag = "admin", responses((status = OK, body = Vec<TokenJson>)))]
pub(super) async fn list_tokens(
    State(door): State<Door>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Response, Problem> {
    Ok(json(&operations::tokens(&door.desk.reading).await?))
}

/// Makes a token. It is shown this once.
#[utoipa::path(post, path = "/v1/tokens", tag = "admin", request_body = TokenRequest, responses((status = CREATED, body = MadeToken)))]
pub(super) async fn create_token(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Asked(Nothing {}): Asked<Nothing>,
    Said(request): Said<TokenRequest>,
) -> Result<Response, Problem> {
    let made = operations::create_token(&door.desk.asking, &request, &caller.who).await?;
    Ok((StatusCode::CREATED, json(&made)).into_response())
}

/// Revokes a token, at once and for ever.
#[utoipa::path(post, path = "/v1/tokens/{name}/revoke", tag = "admin", params(("name" = String, Path, description = "Who has it.")),
    request_body = Why, responses((status = NO_CONTENT, description = "It is revoked.")))]
pub(super) async fn revoke_token(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(name): Named,
    Asked(Nothing {}): Asked<Nothing>,
    Said(why): Said<Why>,
) -> Result<Response, Problem> {
    if name.contains('\0') || why.reason.contains('\0') {
        return Err(Problem::invalid("a zero byte"));
    }
    operations::revoke_token(&door.desk.asking, &name, &caller.who, &why.reason).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Who did what, and who was not let, newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "admin", params(Paged), responses((status = OK, body = Page<AuditJson>)))]
pub(super) async fn audit(State(door): State<Door>, Asked(asked): Asked<Paged>) -> Result<Response, Problem> {
    let size = size("pageSize", asked.page_size)?;
    Ok(json(&operations::audit_page(&door.desk.reading, size, asked.page_token.as_deref()).await?))
}
