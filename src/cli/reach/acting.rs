//! Acting on one saga: what would follow is tried, and an engine is asked.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;
use uuid::Uuid;

use crate::core::Verb;
use crate::operations::{self, Acted, ActionRequest, DryRun, Exit, Failure, Opened, Sight};
use crate::store::Console;

use super::super::arguments::OneSaga;
use super::Reach;
use super::client::{Denial, Route, Server};
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
                let (_, answer) = asked(server, *id, &ActionRequest::of(verb, reason), (expect_seq, false)).await?;
                Ok(answer?)
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

/// The tag of the newest row.
async fn newest(server: &Server, id: Uuid) -> Result<String, Denial> {
    Ok(server.get::<IgnoredAny>(Route::of(&["sagas", &id.to_string()])).await?.tag)
}

/// The tag of the row that is meant, which is the one that was said, else the newest; and what a server answers of it.
async fn asked<T: DeserializeOwned>(
    server: &Server,
    id: Uuid,
    request: &ActionRequest,
    (expect_seq, is_dry_run): (Option<u32>, bool),
) -> Result<(String, Result<T, Denial>), Failure> {
    for _ in 0..RACES {
        let route = Route::of(&["sagas", &id.to_string(), "actions"]);
        let route = if is_dry_run { route.with("dryRun", true) } else { route };
        let tag = match expect_seq {
            Some(seq) => format!("\"{seq}\""),
            None => newest(server, id).await?,
        };
        match server.post(route, Some(&tag), request).await {
            // It has moved on since the row that was read here, which nobody meant.
            Err(Denial { code, .. }) if code == "changed" && expect_seq.is_none() => {}
            answer => return Ok((tag, answer.map(|told| told.what))),
        }
    }
    let message = format!("saga {id} moves on faster than it can be asked for");
    Err(Failure::new(Exit::Refused, message, "say which row is meant: --expect-seq N"))
}

/// A server answers a refusal with what it says of it; nothing would be written then, and nothing sent.
async fn tried_by(server: &Server, id: Uuid, verb: &Verb, expect_seq: Option<u32>) -> Result<DryRun, Failure> {
    let (tag, answer) = asked(server, id, &ActionRequest::of(verb, "dry run"), (expect_seq, true)).await?;
    let Denial { failure, code, phase, can } = match answer {
        Ok(tried) => return Ok(tried),
        Err(denial) => denial,
    };
    let Some(phase) = phase else { return Err(failure) };
    let newest = if expect_seq.is_some() { newest(server, id).await? } else { tag };
    let seq: u32 = newest.trim_matches('"').parse().unwrap_or_default();
    let tried = json!({
        "sagaId": id, "verb": verb.name(), "seq": seq, "phase": phase, "phaseAfter": phase, "facts": [], "commands": [],
        "announces": [], "refusal": {"code": code, "message": failure.message, "can": can},
    });
    Ok(serde_json::from_value(tried).expect("it has the members of a dry run"))
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{found, problem, scripted};
    use super::*;

    #[tokio::test]
    async fn a_saga_that_moves_on_meanwhile_is_asked_for_again_unless_a_row_was_meant() {
        let id = Uuid::nil();
        let body = r#"{"detail": "seq is 2", "code": "changed", "phase": "stuck", "can": []}"#;
        let changed = problem("412 Precondition Failed", body);
        let tried = r#"{"sagaId": "00000000-0000-0000-0000-000000000000", "verb": "resume", "seq": 2, "phase": "paused",
            "phaseAfter": "running", "facts": [], "commands": [], "announces": [], "refusal": null}"#;
        let answers = vec![found("1", "{}"), changed.clone(), found("2", "{}"), found("2", tried)];
        let (server, _) = scripted(answers).await;
        let told = Acting::Server { server: &server, id }.tried(&Verb::Resume, None).await.unwrap();
        assert!(told.refusal.is_none() && told.seq == 2, "{told:?}");
        let (server, _) = scripted(vec![changed, found("2", "{}")]).await;
        let told = Acting::Server { server: &server, id }.tried(&Verb::Resume, Some(1)).await.unwrap();
        assert_eq!((told.refusal.map(|refusal| refusal.code), told.seq), (Some("changed"), 2));
    }
}
