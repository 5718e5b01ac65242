//! Acting on one saga: what would follow is tried, and an engine is asked.

use serde_json::json;
use uuid::Uuid;

use crate::core::Verb;
use crate::operations::{self, Acted, ActionRequest, DryRun, Exit, Failure, Opened, Shown, Sight};
use crate::store::Console;

use super::super::arguments::OneSaga;
use super::Reach;
use super::client::{Denial, Place, Server};
use super::looking::named;

/// How often a saga that moves on meanwhile is asked for again, where nobody said which row is meant.
const RACES: usize = 5;

/// A saga that is acted on.
pub(in crate::cli) enum Acting<'a> {
    Database { console: Console, opened: Box<Opened>, who: &'a str },
    Server { server: &'a Server, id: Uuid },
}

impl Reach {
    /// The saga that somebody names.
    pub(in crate::cli) async fn acting<'a>(&'a self, one: &OneSaga, who: &'a str) -> Result<Acting<'a>, Failure> {
        Ok(match self {
            Self::Places(places) => {
                let console = places.console().await?;
                let id = operations::find_one(&console, &one.saga, one.definition.as_deref()).await?.row.id;
                let opened = Box::new(operations::open(&console, id).await?);
                Acting::Database { console, opened, who }
            }
            Self::Server(server) => Acting::Server { server, id: named(server, one).await? },
        })
    }
}

impl Acting<'_> {
    /// The saga's id.
    pub(in crate::cli) fn id(&self) -> Uuid {
        match self {
            Self::Database { opened, .. } => opened.saga.id,
            Self::Server { id, .. } => *id,
        }
    }

    /// What the action would do. Its refusal is a part of it.
    pub(in crate::cli) async fn tried(&self, verb: &Verb, expect_seq: Option<u32>) -> Result<DryRun, Failure> {
        match self {
            Self::Database { opened, who, .. } => {
                self.check(verb)?;
                let operation = operations::operation(opened.saga.id, verb.clone(), who, "dry run", expect_seq);
                Ok(operations::tried(opened, &operation, Sight::Masked))
            }
            Self::Server { server, id } => tried_by(server, *id, verb, expect_seq).await,
        }
    }

    /// Asks for the action, and waits until an engine has decided.
    pub(in crate::cli) async fn act(
        &self,
        verb: &Verb,
        reason: &str,
        expect_seq: Option<u32>,
    ) -> Result<Acted, Failure> {
        match self {
            Self::Database { console, opened, who } => {
                self.check(verb)?;
                let operation = operations::operation(opened.saga.id, verb.clone(), who, reason, expect_seq);
                operations::act(console, opened.saga.id, &operation).await
            }
            Self::Server { server, id } => {
                let request = ActionRequest::of(verb, reason);
                for _ in 0..RACES {
                    let tag = tag_of(server, *id, expect_seq).await?;
                    match server.post(actions(*id), Some(&tag), &request).await {
                        Ok(told) => return Ok(told.what),
                        // It has moved on since the row that was read here, which nobody meant.
                        Err(Denial { code, .. }) if code == "changed" && expect_seq.is_none() => {}
                        Err(denial) => return Err(denial.into()),
                    }
                }
                let message = format!("saga {id} moves on faster than it can be asked for");
                Err(Failure::new(Exit::Refused, message, "say which row is meant: --expect-seq N"))
            }
        }
    }

    fn check(&self, verb: &Verb) -> Result<(), Failure> {
        match (self, verb.step()) {
            (Self::Database { opened, .. }, Some(step)) => operations::check_step(opened.definition(), step),
            (Self::Database { .. } | Self::Server { .. }, _) => Ok(()),
        }
    }
}

fn actions(id: Uuid) -> Place {
    Place::of(&["sagas", &id.to_string(), "actions"])
}

/// The row that is meant: the one that was said, else the newest.
async fn tag_of(server: &Server, id: Uuid, expect_seq: Option<u32>) -> Result<String, Failure> {
    match expect_seq {
        Some(seq) => Ok(format!("\"{seq}\"")),
        None => Ok(server.get::<Shown>(Place::of(&["sagas", &id.to_string()])).await?.tag),
    }
}

/// A server answers a refusal with what it says of it; nothing would be written then, and nothing sent.
async fn tried_by(server: &Server, id: Uuid, verb: &Verb, expect_seq: Option<u32>) -> Result<DryRun, Failure> {
    let newest = tag_of(server, id, None).await?;
    let tag = expect_seq.map_or_else(|| newest.clone(), |seq| format!("\"{seq}\""));
    let request = ActionRequest::of(verb, "dry run");
    let denial = match server.post(actions(id).with("dryRun", true), Some(&tag), &request).await {
        Ok(told) => return Ok(told.what),
        Err(denial) => denial,
    };
    let Denial { failure, code, phase, can } = denial;
    let Some(phase) = phase else { return Err(failure) };
    let seq: u32 = newest.trim_matches('"').parse().unwrap_or_default();
    let tried = json!({
        "sagaId": id, "verb": verb.name(), "seq": seq, "phase": phase, "phaseAfter": phase, "facts": [], "commands": [],
        "announces": [], "refusal": {"code": code, "message": failure.message, "can": can},
    });
    Ok(serde_json::from_value(tried).expect("it has the members of a dry run"))
}
