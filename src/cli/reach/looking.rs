//! Looking at sagas: what is found, lists, everything about one.

use serde::Serialize;
use uuid::Uuid;

use crate::core::Timestamp;
use crate::operations::{
    self, Bar, CountJson, Cut, DiffLine, Explanation, Failure, FailureGroup, FoundJson, GraphFormat, JournalRow,
    ListedJson, Opened, Places, Shown, Sight, TimeFormat, Times, Trouble, WaitingJson,
};
use crate::store::{Console, SagaFilter};

use super::super::arguments::OneSaga;
use super::super::reveal::RevealArguments;
use super::Reach;
use super::client::{Denial, Route, Server, Told};

/// How often a server is asked for two things at the same row.
const LOOKS: usize = 5;

/// Who looks, and at what: nothing can be changed this way.
pub(in crate::cli) enum Looking<'a> {
    /// A connection that cannot write.
    Database { console: Console, places: &'a Places },
    /// What the token may see.
    Server(&'a Server),
}

/// One saga, and how much of it is shown.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct One {
    pub(in crate::cli) id: Uuid,
    sight: Sight,
}

/// Something about a saga as it stood at a moment of the database's clock.
pub(in crate::cli) struct Seen<T> {
    pub(in crate::cli) what: T,
    pub(in crate::cli) now: Timestamp,
}

impl<T> From<Told<T>> for Seen<T> {
    fn from(told: Told<T>) -> Self {
        Self { what: told.what, now: told.now }
    }
}

impl Reach {
    /// For who only looks.
    pub(in crate::cli) async fn looking(&self) -> Result<Looking<'_>, Failure> {
        Ok(match self {
            Self::Places(places) => Looking::Database { console: places.reading().await?, places },
            Self::Server(server) => Looking::Server(server),
        })
    }

    /// The saga, as it is shown to who says why; the audit has been told of what is revealed.
    ///
    /// # Errors
    /// As `sight`.
    pub(in crate::cli) async fn revealed(&self, one: One, reveal: &RevealArguments, who: &str) -> Result<One, Failure> {
        Ok(One { sight: self.sight(reveal, who, &one.id.to_string()).await?, ..one })
    }
}

impl Looking<'_> {
    /// As `operations::find`.
    pub(in crate::cli) async fn find(
        &self,
        anything: &str,
        newest: usize,
        format: TimeFormat,
    ) -> Result<FoundJson, Failure> {
        match self {
            Self::Database { console, places, .. } => {
                let told = (format, Sight::Masked);
                operations::find(console, places.kafka(None).ok(), anything, newest, told).await
            }
            Self::Server(server) => {
                let route = Route::of(&["find"]).with("q", anything).with("newest", newest);
                Ok(server.get(route.maybe("timeFormat", time_format(format))).await?.what)
            }
        }
    }

    /// As `operations::list`.
    pub(in crate::cli) async fn list(
        &self,
        filter: &SagaFilter,
        limit: usize,
    ) -> Result<(Vec<ListedJson>, bool), Failure> {
        match self {
            Self::Database { console, .. } => operations::list(console, filter, limit, Sight::Masked).await,
            Self::Server(server) => {
                let route = || which(Route::of(&["sagas"]), filter);
                Ok(server.pages(route, limit).await?)
            }
        }
    }

    /// As `operations::count`.
    pub(in crate::cli) async fn count(&self, filter: &SagaFilter) -> Result<Vec<CountJson>, Failure> {
        match self {
            Self::Database { console, .. } => operations::count(console, filter).await,
            Self::Server(server) => Ok(server.get(which(Route::of(&["sagas", "count"]), filter)).await?.what),
        }
    }

    /// As `operations::stuck`. A server looks at 1,000 at most.
    pub(in crate::cli) async fn stuck(
        &self,
        filter: &SagaFilter,
        limit: usize,
    ) -> Result<(Vec<Trouble>, bool), Failure> {
        match self {
            Self::Database { console, .. } => operations::stuck(console, filter, limit, Sight::Masked).await,
            Self::Server(server) => cut(server, which(Route::of(&["stuck"]), filter).with("limit", limit)).await,
        }
    }

    /// As `operations::waiting`. A server looks at 1,000 at most.
    pub(in crate::cli) async fn waiting(
        &self,
        filter: &SagaFilter,
        limit: usize,
    ) -> Result<(Vec<WaitingJson>, bool), Failure> {
        match self {
            Self::Database { console, .. } => operations::waiting(console, filter, limit, Sight::Masked).await,
            Self::Server(server) => cut(server, which(Route::of(&["waiting"]), filter).with("limit", limit)).await,
        }
    }

    /// What went wrong among the newest `limit` sagas that failed, in groups, and whether there are more.
    pub(in crate::cli) async fn groups(&self, limit: usize) -> Result<(Vec<FailureGroup>, bool), Failure> {
        match self {
            Self::Database { console, .. } => {
                let (found, is_cut) = operations::failures(console, limit, Sight::Masked).await?;
                Ok((operations::groups(&found), is_cut))
            }
            Self::Server(server) => cut(server, Route::of(&["failure-groups"]).with("limit", limit)).await,
        }
    }

    /// As `operations::group`.
    pub(in crate::cli) async fn group(&self, id: &str, limit: usize) -> Result<(Vec<Trouble>, bool), Failure> {
        match self {
            Self::Database { console, .. } => operations::group(console, id, limit, Sight::Masked, |_| true).await,
            Self::Server(server) => cut(server, Route::of(&["failure-groups", id]).with("limit", limit)).await,
        }
    }

    /// The saga that somebody names, without what is masked.
    ///
    /// # Errors
    /// There is none (exit 3), or it is one of several (2).
    pub(in crate::cli) async fn one(&self, one: &OneSaga) -> Result<One, Failure> {
        let id = match self {
            Self::Database { console, .. } => {
                operations::find_one(console, &one.saga, one.definition.as_deref()).await?.row.id
            }
            Self::Server(server) => named(server, one).await?,
        };
        Ok(One { id, sight: Sight::Masked })
    }

    /// Everything about a saga.
    pub(in crate::cli) async fn show(&self, one: One, format: TimeFormat) -> Result<Seen<Shown>, Failure> {
        match self {
            Self::Database { console, .. } => {
                let opened = opened(console, one).await?;
                let now = opened.now;
                Ok(Seen { what: operations::show(&opened, Times { format, now }), now })
            }
            Self::Server(server) => {
                about(server, one, &[], |route| route.maybe("timeFormat", time_format(format))).await
            }
        }
    }

    /// Everything about a saga, and why it stands where it stands: both at the same row, unless it never rests.
    pub(in crate::cli) async fn watched(
        &self,
        one: One,
        format: TimeFormat,
    ) -> Result<(Seen<Shown>, Explanation), Failure> {
        let server = match self {
            Self::Database { console, .. } => {
                let opened = opened(console, one).await?;
                let (now, times) = (opened.now, Times { format, now: opened.now });
                let explanation = opened.explanation(times);
                return Ok((Seen { what: operations::show(&opened, times), now }, explanation));
            }
            Self::Server(server) => server,
        };
        let mut looks = 0;
        loop {
            let shown: Told<Shown> = server.get(of_saga(one, &[]).maybe("timeFormat", time_format(format))).await?;
            let route = of_saga(one, &["explanation"]).maybe("timeFormat", time_format(format));
            let explained: Told<Explanation> = server.get(route).await?;
            looks += 1;
            // Else it has moved on between the two.
            if shown.tag == explained.tag || looks == LOOKS {
                return Ok((shown.into(), explained.what));
            }
        }
    }

    /// Why it stands where it stands.
    pub(in crate::cli) async fn explain(&self, one: One, format: TimeFormat) -> Result<Seen<Explanation>, Failure> {
        match self {
            Self::Database { console, .. } => {
                let opened = opened(console, one).await?;
                let now = opened.now;
                Ok(Seen { what: opened.explanation(Times { format, now }), now })
            }
            Self::Server(server) => {
                about(server, one, &["explanation"], |route| route.maybe("timeFormat", time_format(format))).await
            }
        }
    }

    /// Its journal, or what went wrong in it alone.
    pub(in crate::cli) async fn history(&self, one: One, failed: bool) -> Result<Seen<Vec<JournalRow>>, Failure> {
        match self {
            Self::Database { console, .. } => {
                let opened = opened(console, one).await?;
                Ok(Seen { what: rows(&opened, failed), now: opened.now })
            }
            Self::Server(server) => about(server, one, &["journal"], |route| route.with("failed", failed)).await,
        }
    }

    /// Its journal, or what went wrong in it alone, and whether it has ended.
    pub(in crate::cli) async fn followed(
        &self,
        one: One,
        failed: bool,
    ) -> Result<(Seen<Vec<JournalRow>>, bool), Failure> {
        match self {
            Self::Database { console, .. } => {
                let opened = opened(console, one).await?;
                let (is_over, now) = (opened.saga.finished_at.is_some(), opened.now);
                Ok((Seen { what: rows(&opened, failed), now }, is_over))
            }
            Self::Server(_) => {
                // Before what went wrong is read, so that no row is missed of a saga that has ended.
                let Seen { what: Shown { saga, journal, .. }, now } = self.show(one, TimeFormat::Iso).await?;
                let seen = if failed { self.history(one, true).await? } else { Seen { what: journal, now } };
                Ok((seen, saga.finished_at.is_some()))
            }
        }
    }

    /// When its steps were ready, sent and answered.
    pub(in crate::cli) async fn timeline(&self, one: One) -> Result<Seen<Vec<Bar>>, Failure> {
        match self {
            Self::Database { console, .. } => {
                let opened = opened(console, one).await?;
                Ok(Seen { what: operations::timeline(opened.definition(), &opened.journal), now: opened.now })
            }
            Self::Server(server) => about(server, one, &["timeline"], |route| route).await,
        }
    }

    /// Its steps as a graph.
    pub(in crate::cli) async fn graph(&self, one: One, format: GraphFormat) -> Result<String, Failure> {
        match self {
            Self::Database { console, .. } => {
                let opened = opened(console, one).await?;
                Ok(operations::graph(opened.definition(), &opened.saga, format))
            }
            Self::Server(server) => Ok(server.text(of_saga(one, &["graph"]).with("format", word(format))).await?),
        }
    }

    /// Where the histories of two sagas part.
    pub(in crate::cli) async fn difference(&self, a: One, b: One) -> Result<Vec<DiffLine>, Failure> {
        match self {
            Self::Database { console, .. } => {
                let (a, b) = (opened(console, a).await?, opened(console, b).await?);
                let (a, b) = ((a.definition(), a.journal.as_slice()), (b.definition(), b.journal.as_slice()));
                Ok(operations::diff_histories(a, b))
            }
            Self::Server(server) => Ok(about(server, a, &["difference"], |route| route.with("with", b.id)).await?.what),
        }
    }
}

async fn opened(console: &Console, one: One) -> Result<Opened, Failure> {
    Ok(operations::open(console, one.id).await?.seen(one.sight))
}

fn rows(opened: &Opened, failed: bool) -> Vec<JournalRow> {
    let read = if failed { operations::failed_only } else { operations::history };
    read(opened.definition(), &opened.journal)
}

async fn about<T: serde::de::DeserializeOwned>(
    server: &Server,
    one: One,
    below: &[&str],
    query: impl Fn(Route) -> Route,
) -> Result<Seen<T>, Failure> {
    let told: Told<T> = server.get(query(of_saga(one, below))).await?;
    Ok(told.into())
}

fn of_saga(one: One, below: &[&str]) -> Route {
    let id = one.id.to_string();
    Route::of(&[["sagas", id.as_str()].as_slice(), below].concat())
}

async fn cut<T: serde::de::DeserializeOwned>(server: &Server, route: Route) -> Result<(Vec<T>, bool), Failure> {
    let Cut { items, is_cut } = server.get(route).await?.what;
    Ok((items, is_cut))
}

/// The id of the saga that an id or a business key means.
pub(super) async fn named(server: &Server, one: &OneSaga) -> Result<Uuid, Failure> {
    // Not among old triggers: who means a place says find.
    let found = server.get::<FoundJson>(Route::of(&["find"]).with("q", &one.saga).with("newest", 0)).await;
    let mut sagas = match found {
        Ok(found) => found.what.sagas,
        Err(Denial { code, .. }) if code == "not_found" => Vec::new(),
        Err(denial) => return Err(denial.into()),
    };
    let id = Uuid::try_parse(&one.saga).ok();
    let is_of = |definition: &str| one.definition.as_deref().is_none_or(|name| name == definition);
    sagas.retain(|found| {
        let saga = &found.saga;
        (id == Some(saga.id) || saga.business_key == one.saga) && is_of(&saga.definition)
    });
    Ok(operations::only_one(&one.saga, sagas, |found| &found.saga.definition)?.saga.id)
}

fn time_format(format: TimeFormat) -> Option<String> {
    // What a server does when nothing is said, also an older one.
    (format != TimeFormat::Iso).then(|| word(format))
}

/// The word that a query has for it.
fn word(said: impl Serialize) -> String {
    let word = serde_json::to_value(said).expect("a word is plain data");
    word.as_str().unwrap_or_default().to_owned()
}

fn which(route: Route, filter: &SagaFilter) -> Route {
    route
        .maybe("phase", filter.phase.map(crate::core::Phase::name))
        .maybe("definition", filter.definition.as_deref())
        .maybe("key", filter.key_prefix.as_ref().map(|prefix| format!("{prefix}*")))
        .maybe("code", filter.code.as_deref())
        .maybe("startedAfter", filter.started_after)
        .maybe("startedBefore", filter.started_before)
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{found, scripted};
    use super::*;

    const ONE: One = One { id: Uuid::nil(), sight: Sight::Masked };

    fn shown(summary: &str, finished_at: &str) -> String {
        format!(
            r#"{{"id": "{}", "definition": "d", "version": 1, "businessKey": "k", "phase": "running", "summary": "{summary}",
                "startedAt": "2026-01-01T00:00:00.000Z", "finishedAt": {finished_at}, "error": null, "steps": [], "journal": []}}"#,
            Uuid::nil()
        )
    }

    #[tokio::test]
    async fn what_is_watched_is_read_again_where_it_moved_on_between_the_two() {
        let explained = |sentence: &str| {
            format!(
                r#"{{"sagaId": "{}", "phase": "running", "sentence": "{sentence}", "gates": [], "applied": [], "can": []}}"#,
                Uuid::nil()
            )
        };
        let (server, asked) = scripted(vec![
            found("1", &shown("first", "null")),
            found("2", &explained("second")),
            found("2", &shown("second", "null")),
            found("2", &explained("second")),
        ])
        .await;
        let (seen, explanation) = Looking::Server(&server).watched(ONE, TimeFormat::Relative).await.unwrap();
        assert_eq!((seen.what.summary.as_str(), explanation.sentence.as_str()), ("second", "second"));
        assert!(asked.await.unwrap().iter().all(|request| request.contains("timeFormat=relative")));
    }

    #[tokio::test]
    async fn one_request_follows_a_journal() {
        let (server, asked) = scripted(vec![found("1", &shown("", r#""2026-01-01T00:00:00.000Z""#))]).await;
        let (seen, is_over) = Looking::Server(&server).followed(ONE, false).await.unwrap();
        assert!(is_over && seen.what.is_empty() && asked.await.unwrap().len() == 1);
    }
}
