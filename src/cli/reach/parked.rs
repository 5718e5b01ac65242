//! Records put aside: looked at, sent down the line again, said to be of no more use.

use crate::operations::{
    self, Edit, Exit, Failure, ParkedActionName, ParkedActionRequest, ParkedJson, ParkedManyActed, ParkedManyRequest,
    ParkedShown, RedrivenJson, Sweep, Sweeping,
};
use crate::store::{Console, ParkedFilter, ParkedState};

use super::super::reveal::RevealArguments;
use super::Reach;
use super::client::Route;
use super::doing::Doing;

/// What is made of messages before they are judged again.
pub(in crate::cli) enum Mended {
    /// Nothing.
    AsItIs,
    /// Another value or other headers.
    Edited(Edit),
    /// The answer that a step of a saga waits for.
    Bound { saga: String, step: String },
}

impl Reach {
    /// As `operations::parked`.
    pub(in crate::cli) async fn parked(
        &self,
        filter: &ParkedFilter,
        limit: usize,
    ) -> Result<(Vec<ParkedJson>, bool), Failure> {
        match self {
            Self::Places(places) => operations::parked(&places.reading().await?, filter, limit).await,
            Self::Server(server) => {
                let route = || {
                    let state = filter.state.map(ParkedState::name);
                    which(Route::of(&["parked-messages"]), filter).maybe("state", state)
                };
                Ok(server.pages(route, limit).await?)
            }
        }
    }

    /// As `operations::show_parked`; the audit has been told of what is revealed.
    pub(in crate::cli) async fn show_parked(
        &self,
        id: i64,
        reveal: &RevealArguments,
        who: &str,
    ) -> Result<ParkedShown, Failure> {
        let sight = self.sight(reveal, who, &format!("parked message {id}")).await?;
        match self {
            Self::Places(places) => operations::show_parked(&places.reading().await?, id, sight).await,
            Self::Server(server) => Ok(server.get(Route::of(&["parked-messages", &id.to_string()])).await?.what),
        }
    }
}

impl Doing<'_> {
    /// As `operations::choose_parked`. A server chooses 10,000 at most.
    pub(in crate::cli) async fn choose_parked(
        &self,
        filter: &ParkedFilter,
        limit: usize,
        sweeping: Sweeping,
    ) -> Result<Sweep, Failure> {
        match self {
            Self::Database { console, .. } => operations::choose_parked(console, filter, limit, sweeping).await,
            Self::Server(server) => {
                let route = which(Route::of(&["parked-messages", "sweep"]), filter).with("limit", limit);
                let route = match sweeping {
                    Sweeping::Redrive { force } => {
                        route.with("action", "redrive").maybe("force", force.then_some(true))
                    }
                    Sweeping::Discard => route.with("action", "discard"),
                };
                Ok(server.get(route).await?.what)
            }
        }
    }

    /// As `operations::redrive_free`.
    pub(in crate::cli) async fn redrive_free(
        &self,
        ids: Vec<i64>,
        reason: &str,
        force: bool,
    ) -> Result<ParkedManyActed, Failure> {
        match self {
            Self::Database { console, who } => operations::redrive_free(console, &ids, (who, reason), force).await,
            Self::Server(server) => {
                let with = ParkedActionRequest {
                    force: Some(force),
                    ..ParkedActionRequest::of(ParkedActionName::Redrive, reason)
                };
                let request = ParkedManyRequest { ids, with, each_by_itself: true };
                Ok(server.post(together(), None, &request).await?.what)
            }
        }
    }

    /// What sending them again would refuse.
    pub(in crate::cli) async fn check_redrive(&self, ids: &[i64], mended: &Mended, force: bool) -> Result<(), Failure> {
        match self {
            Self::Database { console, .. } => {
                operations::check_redrive(console, ids, &mended.edit(console).await?, force).await
            }
            Self::Server(server) => {
                let request = mended.request(ids, "dry run", force)?;
                server.post::<ParkedManyActed>(together().with("dryRun", true), None, &request).await?;
                Ok(())
            }
        }
    }

    /// Sends them again, and waits until an engine has judged them.
    pub(in crate::cli) async fn redrive(
        &self,
        ids: &[i64],
        mended: &Mended,
        reason: &str,
        force: bool,
    ) -> Result<Vec<RedrivenJson>, Failure> {
        match self {
            Self::Database { console, who } => {
                let edit = mended.edit(console).await?;
                operations::redrive(console, ids, (mended.verb(), &edit), (who, reason), force).await
            }
            Self::Server(server) => {
                let request = mended.request(ids, reason, force)?;
                Ok(server.post::<ParkedManyActed>(together(), None, &request).await?.what.redriven)
            }
        }
    }

    /// Says that they need not be looked at any more. Returns how many were parked.
    pub(in crate::cli) async fn discard(&self, ids: &[i64], reason: &str) -> Result<usize, Failure> {
        match self {
            Self::Database { console, who } => Ok(operations::discard(console, ids, who, reason).await?.len()),
            Self::Server(server) => {
                let with = ParkedActionRequest::of(ParkedActionName::Discard, reason);
                let request = ParkedManyRequest { ids: ids.to_vec(), with, each_by_itself: false };
                Ok(server.post::<ParkedManyActed>(together(), None, &request).await?.what.discarded.len())
            }
        }
    }
}

impl Mended {
    /// The verb as the audit names it.
    pub(in crate::cli) fn verb(&self) -> &'static str {
        match self {
            Self::AsItIs => "redrive",
            Self::Edited(_) => "edit",
            Self::Bound { .. } => "bind",
        }
    }

    async fn edit(&self, console: &Console) -> Result<Edit, Failure> {
        match self {
            Self::AsItIs => Ok(Edit::default()),
            Self::Edited(edit) => Ok(edit.clone()),
            Self::Bound { saga, step } => {
                let saga = operations::find_one(console, saga, None).await?;
                Edit::bind(&operations::open(console, saga.row.id).await?, step)
            }
        }
    }

    fn request(&self, ids: &[i64], reason: &str, force: bool) -> Result<ParkedManyRequest, Failure> {
        let of = |action| ParkedActionRequest { force: Some(force), ..ParkedActionRequest::of(action, reason) };
        let with = match self {
            Self::AsItIs => of(ParkedActionName::Redrive),
            Self::Edited(Edit { value, headers }) => {
                let value = value.clone().map(String::from_utf8).transpose().map_err(|_| {
                    Failure::new(Exit::Usage, "--file is not UTF-8", "bytes that are no text go straight to Postgres")
                })?;
                let headers = Some(headers.iter().cloned().collect());
                ParkedActionRequest { value, headers, ..of(ParkedActionName::Edit) }
            }
            Self::Bound { saga, step } => {
                ParkedActionRequest { saga: Some(saga.clone()), step: Some(step.clone()), ..of(ParkedActionName::Bind) }
            }
        };
        Ok(ParkedManyRequest { ids: ids.to_vec(), with, each_by_itself: false })
    }
}

fn together() -> Route {
    Route::of(&["parked-messages", "actions"])
}

fn which(route: Route, filter: &ParkedFilter) -> Route {
    route
        .maybe("topic", filter.topic.as_deref())
        .maybe("key", filter.key.as_deref())
        .maybe("why", filter.reason_prefix.as_deref())
        .maybe("code", filter.code.as_deref())
        .maybe("parkedAfter", filter.parked_after)
        .maybe("parkedBefore", filter.parked_before)
}
