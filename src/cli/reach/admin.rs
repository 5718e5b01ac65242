//! Tokens and the audit.

use serde_json::json;

use crate::operations::{self, AuditJson, Failure, MadeToken, TokenJson, TokenRequest};

use super::Reach;
use super::client::Route;

impl Reach {
    /// As `operations::tokens`.
    pub(in crate::cli) async fn tokens(&self) -> Result<Vec<TokenJson>, Failure> {
        match self {
            Self::Places(places) => operations::tokens(&places.reading().await?).await,
            Self::Server(server) => Ok(server.get(Route::of(&["tokens"])).await?.what),
        }
    }

    /// As `operations::create_token`.
    pub(in crate::cli) async fn create_token(&self, request: &TokenRequest, who: &str) -> Result<MadeToken, Failure> {
        match self {
            Self::Places(places) => operations::create_token(&places.console().await?, request, who).await,
            Self::Server(server) => Ok(server.post(Route::of(&["tokens"]), None, request).await?.what),
        }
    }

    /// As `operations::revoke_token`.
    pub(in crate::cli) async fn revoke_token(&self, name: &str, who: &str, reason: &str) -> Result<(), Failure> {
        match self {
            Self::Places(places) => operations::revoke_token(&places.console().await?, name, who, reason).await,
            Self::Server(server) => {
                let route = Route::of(&["tokens", name, "revoke"]);
                let () = server.post(route, None, &json!({ "reason": reason })).await?.what;
                Ok(())
            }
        }
    }

    /// As `operations::audit`.
    pub(in crate::cli) async fn audit(&self, limit: usize) -> Result<(Vec<AuditJson>, bool), Failure> {
        match self {
            Self::Places(places) => operations::audit(&places.reading().await?, limit).await,
            Self::Server(server) => Ok(server.pages(|| Route::of(&["audit"]), limit).await?),
        }
    }
}
