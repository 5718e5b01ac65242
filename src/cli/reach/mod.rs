//! What a verb reaches: Postgres and Kafka themselves, or a server that has them. Each look and each change is here once, and is answered
//! by `operations` or by the route that does the same there; both give the same data, so what prints them cannot tell.
//!
//! ```text
//!  see, repair, bulk, parked ... ──▶ reach ──▶ operations ──▶ Postgres
//!                                      └────▶ client ──HTTP──▶ api ──▶ operations ──▶ Postgres
//! ```

mod acting;
mod admin;
mod client;
mod doing;
mod holds;
mod locks;
mod looking;
mod parked;
mod plans;
mod profile;
mod retention;
#[cfg(test)]
mod scripted;
mod starting;

use crate::operations::{Exit, Failure, Places, Sight};

use super::reveal::RevealArguments;

pub(super) use doing::Doing;
pub(super) use looking::{Looking, One, Seen};
pub(super) use parked::Mended;
pub(super) use plans::OfPlan;
pub(super) use profile::ServerArguments;
pub(super) use retention::Retaining;

use client::Server;

/// What verbs reach.
#[derive(Debug)]
pub(super) enum Reach {
    /// Postgres and Kafka.
    Places(Places),
    /// A server.
    Server(Box<Server>),
}

impl Reach {
    /// The server, if one is said; else these places.
    ///
    /// # Errors
    /// The server or its profile cannot be (exit 2).
    pub(super) fn new(places: Places, server: &ServerArguments) -> Result<Self, Failure> {
        Ok(match server.server()? {
            Some(server) => Self::Server(Box::new(server)),
            None => Self::Places(places),
        })
    }

    /// Postgres and Kafka themselves, for a verb that no server does.
    ///
    /// # Errors
    /// A server is said (exit 2): it is refused, since an answer from elsewhere would be about something else.
    pub(super) fn places(&self, verb: &str) -> Result<&Places, Failure> {
        match self {
            Self::Places(places) => Ok(places),
            Self::Server(_) => Err(no_route(verb)),
        }
    }

    /// How much is shown of `target`; the audit has been told of what is revealed. A server shows what the token may see.
    ///
    /// # Errors
    /// The reason is empty, or a server should reveal more (exit 2); the audit cannot be told (6).
    async fn sight(&self, reveal: &RevealArguments, who: &str, target: &str) -> Result<Sight, Failure> {
        match self {
            Self::Places(places) => reveal.sight(places, who, target).await,
            Self::Server(_) => reveal.is_of_the_token(),
        }
    }

    /// How much is shown of a plan.
    ///
    /// # Errors
    /// As `sight`.
    pub(super) async fn sight_of_plan(
        &self,
        number: i64,
        reveal: &RevealArguments,
        who: &str,
    ) -> Result<Sight, Failure> {
        self.sight(reveal, who, &format!("p{number}")).await
    }
}

/// Whoever named a server must not be answered from a database that the environment names.
fn no_route(verb: &str) -> Failure {
    let hint = "run it where Postgres and Kafka can be reached, without --server and --profile";
    Failure::new(Exit::Usage, format!("no server does this: {verb}"), hint)
}
