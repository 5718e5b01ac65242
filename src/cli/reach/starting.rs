//! Starting a saga, and waiting for its end.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::core::{Json, Phase};
use crate::operations::{self, Exit, Failure, Shown, StartRequest, StartedJson};

use super::client::Route;
use super::{Reach, no_route};

/// How often a saga is looked at by whoever waits for its end.
const LOOK: Duration = Duration::from_millis(250);

impl Reach {
    /// As `operations::start`. A server starts a saga once for its business key, and chooses the record's key itself.
    pub(in crate::cli) async fn start(
        &self,
        name: &str,
        data: &str,
        key: Option<&str>,
    ) -> Result<(String, Uuid), Failure> {
        match self {
            Self::Places(places) => operations::start(places, &places.console().await?, name, data, key).await,
            Self::Server(_) if key.is_some() => Err(no_route("start with --key")),
            Self::Server(server) => {
                let data = Json::foreign(data.trim().as_bytes()).map_err(|error| {
                    Failure::new(Exit::Usage, format!("--data: {error}"), "give JSON, or a file of it")
                })?;
                let request = StartRequest { definition: name.to_owned(), data };
                let started: StartedJson = server.post(Route::of(&["sagas"]), None, &request).await?.what;
                Ok((started.business_key, started.saga_id))
            }
        }
    }

    /// As `operations::wait_for_end`, of the saga that was started.
    pub(in crate::cli) async fn wait_for_end(
        &self,
        name: &str,
        (business_key, id): (&str, Uuid),
        at_most: Duration,
    ) -> Result<Phase, Failure> {
        let server = match self {
            Self::Places(places) => {
                return operations::wait_for_end(&places.console().await?, name, business_key, at_most).await;
            }
            Self::Server(server) => server,
        };
        let until = Instant::now() + at_most;
        while Instant::now() < until {
            match server.get::<Shown>(Route::of(&["sagas", &id.to_string()])).await {
                Ok(seen) => {
                    let phase = Phase::parse(seen.what.saga.phase);
                    if let Some(phase) = phase.filter(|phase| phase.is_final() || *phase == Phase::Stuck) {
                        return Ok(phase);
                    }
                }
                // No engine has come to its trigger yet.
                Err(denial) if denial.failure.exit == Exit::NotFound => {}
                Err(denial) => return Err(denial.into()),
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(operations::not_ended(business_key, at_most))
    }
}
