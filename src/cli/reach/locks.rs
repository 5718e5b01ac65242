//! What holds up what in the database.

use crate::operations::{self, Failure, LocksJson};

use super::Reach;
use super::client::Route;

impl Reach {
    /// As `operations::locks`.
    pub(in crate::cli) async fn locks(&self) -> Result<LocksJson, Failure> {
        match self {
            Self::Places(places) => operations::locks(&places.reading().await?).await,
            Self::Server(server) => Ok(server.get(Route::of(&["locks"])).await?.what),
        }
    }
}
