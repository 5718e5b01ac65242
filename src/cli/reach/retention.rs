//! How long sagas are kept: what would be removed, and the run that removes it.

use std::time::Duration;

use crate::operations::{
    self, Failure, Held, PeriodJson, Places, RetentionOptions, RetentionReport, RetentionRequest, RetentionStep,
};
use crate::store::Keeper;

use super::Reach;
use super::client::Route;

/// How long sagas are kept, and how fast the others go.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Retaining {
    pub(in crate::cli) keep: Duration,
    pub(in crate::cli) topics_hold: Option<Duration>,
    pub(in crate::cli) period: Duration,
    pub(in crate::cli) rate: u32,
}

impl Reach {
    /// As `operations::periods`.
    pub(in crate::cli) async fn periods(&self) -> Result<Vec<PeriodJson>, Failure> {
        match self {
            Self::Places(places) => operations::periods(&places.reading().await?).await,
            Self::Server(server) => Ok(server.get(Route::of(&["retention"])).await?.what),
        }
    }

    /// Whether sagas are kept for long enough. A server judges whatever it is asked for.
    pub(in crate::cli) async fn check_keep(&self, asked: Retaining) -> Result<(), Failure> {
        match self {
            Self::Places(places) => operations::check_keep(asked.keep, held(places, asked.topics_hold).await?.as_ref()),
            Self::Server(_) => Ok(()),
        }
    }

    /// As `operations::would_retain`.
    pub(in crate::cli) async fn would_retain(&self, asked: Retaining) -> Result<RetentionReport, Failure> {
        match self {
            Self::Places(places) => operations::would_retain(&places.reading().await?, asked.keep).await,
            Self::Server(server) => {
                let route = Route::of(&["retention", "removable"]).with("keepSeconds", seconds(asked.keep));
                Ok(server.get(route.maybe("topicsHoldSeconds", asked.topics_hold.map(seconds))).await?.what)
            }
        }
    }

    /// As `operations::retain`; at a server step by step.
    ///
    /// # Errors
    /// Another process is at it (exit 4), or as `operations::retain`.
    pub(in crate::cli) async fn retain(
        &self,
        Retaining { keep, topics_hold, period, rate }: Retaining,
        (who, reason): (&str, &str),
        mut progress: impl FnMut(u64, u64),
    ) -> Result<RetentionReport, Failure> {
        let server = match self {
            Self::Places(places) => {
                let (who, reason) = (who.to_owned(), reason.to_owned());
                let options = RetentionOptions { keep: Some(keep), period, rate, who, reason };
                let mut keeper = Keeper::connect(places.database_url()?).await?;
                let done = operations::retain(&mut keeper, &places.reading().await?, &options, progress).await?;
                return done.ok_or_else(operations::retained_elsewhere);
            }
            Self::Server(server) => server,
        };
        let mut request = RetentionRequest {
            keep_seconds: seconds(keep),
            topics_hold_seconds: topics_hold.map(seconds),
            rate: Some(rate),
            period_seconds: Some(period.as_secs()),
            reason: reason.to_owned(),
            from: None,
        };
        let (mut done, mut seen) = (RetentionReport::default(), 0);
        loop {
            let step = server.post(Route::of(&["retention", "steps"]), None, &request).await;
            let RetentionStep { report, looked_at, next } = step.map_err(|denial| stopped(denial.into(), &done))?.what;
            done = done.and(report);
            seen += looked_at;
            progress(seen, done.sagas);
            if next.is_none() {
                return Ok(done);
            }
            request.from = next;
        }
    }
}

async fn held(places: &Places, said: Option<Duration>) -> Result<Option<Held>, Failure> {
    match said {
        Some(hold) => Ok(Some(Held::said(hold))),
        None => operations::held_by_topics(places.kafka(None)?, &places.reading().await?).await,
    }
}

/// Why a run ended before its time, with what it had removed: that is gone, and another run goes on with the rest.
fn stopped(failure: Failure, done: &RetentionReport) -> Failure {
    if done.sagas == 0 {
        return failure;
    }
    let message = format!("{}; {} sagas were removed before", failure.message, done.sagas);
    Failure { message, ..failure }
}

/// Rather longer than shorter.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
