//! Who does something with plans, jobs and records put aside, or tries what would be done.

use crate::operations::Failure;
use crate::store::Console;

use super::Reach;
use super::client::Server;

/// Who does something, or tries it.
pub(in crate::cli) enum Doing<'a> {
    Database { console: Console, who: &'a str },
    Server(&'a Server),
}

impl Reach {
    /// For who does something; where `is_look`, nothing can be changed.
    pub(in crate::cli) async fn doing<'a>(&'a self, is_look: bool, who: &'a str) -> Result<Doing<'a>, Failure> {
        Ok(match self {
            Self::Places(places) => {
                let console = if is_look { places.reading().await? } else { places.console().await? };
                Doing::Database { console, who }
            }
            Self::Server(server) => Doing::Server(server),
        })
    }
}
