//! What people hold: looked at, held, released.

use serde_json::json;

use crate::operations::{self, Caller, Failure, HoldJson, HoldRequest, HoldScope};

use super::Reach;
use super::client::Route;
use super::doing::Doing;

impl Reach {
    /// As `operations::holds`.
    pub(in crate::cli) async fn holds(&self) -> Result<Vec<HoldJson>, Failure> {
        match self {
            Self::Places(places) => operations::holds(&places.reading().await?, &Caller::local()).await,
            Self::Server(server) => Ok(server.get(Route::of(&["holds"])).await?.what),
        }
    }
}

impl Doing<'_> {
    /// As `operations::hold`.
    pub(in crate::cli) async fn hold(&self, request: &HoldRequest, is_dry_run: bool) -> Result<HoldScope, Failure> {
        match self {
            Self::Database { console, who } => operations::hold(console, request, who, is_dry_run).await,
            Self::Server(server) => {
                let route = Route::of(&["holds"]).with("dryRun", is_dry_run);
                Ok(server.post(route, None, request).await?.what)
            }
        }
    }

    /// As `operations::release`.
    pub(in crate::cli) async fn release(
        &self,
        number: i64,
        reason: &str,
        is_dry_run: bool,
    ) -> Result<HoldScope, Failure> {
        match self {
            Self::Database { console, who } => operations::release(console, number, reason, who, is_dry_run).await,
            Self::Server(server) => {
                let route = Route::of(&["holds", &format!("h{number}"), "release"]).with("dryRun", is_dry_run);
                Ok(server.post(route, None, &json!({ "reason": reason })).await?.what)
            }
        }
    }
}
