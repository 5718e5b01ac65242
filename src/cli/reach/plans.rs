//! Plans and jobs: what is planned for many sagas, and what is done with a plan.

use serde::de::IgnoredAny;

use crate::core::{Sha256, Verb};
use crate::operations::{
    self, ApprovalJson, ApprovalRequest, Conditions, Exit, Failure, PlanActionName, PlanActionRequest, PlanJson,
    PlanRequest, PlanShown, Sight, Steer,
};
use crate::store::{Console, PlanPace, PlanState};

use super::super::selection::Many;
use super::client::{Route, Server};
use super::doing::Doing;

/// A plan, as it was shown to whoever does something with it; without a hash nobody was shown it.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct OfPlan {
    pub(in crate::cli) number: i64,
    pub(in crate::cli) hash: Option<Sha256>,
}

impl Doing<'_> {
    /// Plans the action for many sagas, or shows what would be planned.
    pub(in crate::cli) async fn draft(&self, many: &Many, verb: &Verb, is_dry_run: bool) -> Result<PlanJson, Failure> {
        match self {
            Self::Database { console, who } => {
                let selection = many.selection(crate::engine::wall_clock())?;
                let (said, seen) = (many.text(), (None, *who, Sight::Masked));
                operations::plan_selected((console, console), (&selection, &said), verb, seen, is_dry_run).await
            }
            Self::Server(server) => {
                let route = Route::of(&["operations"]);
                let route = if is_dry_run { route.with("dryRun", true) } else { route };
                Ok(server.post(route, None, &many.request(verb)?).await?.what)
            }
        }
    }

    /// As `operations::plans`.
    pub(in crate::cli) async fn plans(&self, jobs_only: bool, limit: usize) -> Result<(Vec<PlanJson>, bool), Failure> {
        match self {
            Self::Database { console, .. } => {
                let (mut found, is_cut) = operations::plans(console, jobs_only, limit).await?;
                operations::hide_said(console, &mut found, Sight::Masked).await?;
                Ok((found, is_cut))
            }
            Self::Server(server) => {
                let route = || Route::of(&["operations"]).maybe("jobsOnly", jobs_only.then_some(true));
                Ok(server.pages(route, limit).await?)
            }
        }
    }

    /// One plan, with the reasons of its refusals.
    pub(in crate::cli) async fn plan(&self, number: i64) -> Result<PlanJson, Failure> {
        match self {
            Self::Database { console, .. } => masked(console, operations::plan(console, number).await?).await,
            Self::Server(server) => Ok(server.get(named(number, "")).await?.what),
        }
    }

    /// One plan with the first `limit` of its sagas, and whether there are more.
    pub(in crate::cli) async fn show_plan(
        &self,
        number: i64,
        limit: usize,
        sight: Sight,
    ) -> Result<(PlanShown, bool), Failure> {
        match self {
            Self::Database { console, .. } => {
                let (mut shown, is_cut) = operations::show_plan(console, number, limit).await?;
                operations::hide_said(console, std::slice::from_mut(&mut shown.plan), sight).await?;
                Ok((shown, is_cut))
            }
            Self::Server(server) => {
                let plan = self.plan(number).await?;
                let (items, is_cut) = server.pages(|| named(number, "items"), limit).await?;
                Ok((PlanShown { plan, items }, is_cut))
            }
        }
    }

    /// One plan as it stands, without the reasons of its refusals; to be shown whole once `hidden` has hidden what is masked.
    pub(in crate::cli) async fn look_at_plan(&self, number: i64) -> Result<(PlanJson, PlanState), Failure> {
        match self {
            Self::Database { console, .. } => operations::look_at_plan(console, number).await,
            Self::Server(_) => {
                let seen = PlanJson { refusals: None, ..self.plan(number).await? };
                let state = seen.state.and_then(PlanState::parse).ok_or_else(|| {
                    Failure::new(Exit::Failed, format!("p{number} is in a state that this version does not know"), "")
                })?;
                Ok((seen, state))
            }
        }
    }

    /// A plan that was looked at, without what is masked.
    pub(in crate::cli) async fn hidden(&self, seen: PlanJson) -> Result<PlanJson, Failure> {
        match self {
            Self::Database { console, .. } => masked(console, seen).await,
            Self::Server(_) => Ok(seen),
        }
    }

    /// Whether the plan that was shown may be applied, by who asks.
    pub(in crate::cli) async fn check_apply(&self, shown: OfPlan, pace: &PlanPace) -> Result<(), Failure> {
        match self {
            Self::Database { console, who } => operations::check_apply(console, shown.number, who).await,
            Self::Server(server) => asked(server, shown, &apply("dry run", pace), true).await.map(|_| ()),
        }
    }

    /// Makes a job of a plan.
    pub(in crate::cli) async fn apply(&self, of: OfPlan, reason: &str, pace: &PlanPace) -> Result<PlanJson, Failure> {
        match self {
            Self::Database { console, who } => {
                masked(console, operations::apply(console, of.number, who, reason, pace).await?).await
            }
            Self::Server(server) => asked(server, of, &apply(reason, pace), false).await,
        }
    }

    /// A job that would be steered.
    pub(in crate::cli) async fn check_steer(&self, number: i64, to: Steer) -> Result<PlanJson, Failure> {
        match self {
            Self::Database { console, .. } => {
                masked(console, operations::check_steer(console, number, to).await?).await
            }
            Self::Server(server) => asked(server, OfPlan { number, hash: None }, &steered(to, "dry run"), true).await,
        }
    }

    /// Pauses, resumes or cancels.
    pub(in crate::cli) async fn steer(&self, of: OfPlan, to: Steer, reason: &str) -> Result<PlanJson, Failure> {
        match self {
            Self::Database { console, who } => {
                masked(console, operations::steer(console, of.number, to, who, reason).await?).await
            }
            Self::Server(server) => asked(server, of, &steered(to, reason), false).await,
        }
    }

    /// As `operations::approval`.
    pub(in crate::cli) async fn approval(&self) -> Result<ApprovalJson, Failure> {
        match self {
            Self::Database { console, .. } => operations::approval(console).await,
            Self::Server(server) => Ok(server.get(Route::of(&["operations", "approval"])).await?.what),
        }
    }

    /// As `operations::set_approval`.
    pub(in crate::cli) async fn set_approval(&self, request: &ApprovalRequest) -> Result<ApprovalJson, Failure> {
        match self {
            Self::Database { console, who } => operations::set_approval(console, request, who).await,
            Self::Server(server) => Ok(server.put(Route::of(&["operations", "approval"]), request).await?.what),
        }
    }
}

async fn masked(console: &Console, mut plan: PlanJson) -> Result<PlanJson, Failure> {
    operations::hide_said(console, std::slice::from_mut(&mut plan), Sight::Masked).await?;
    Ok(plan)
}

fn named(number: i64, below: &str) -> Route {
    let name = format!("p{number}");
    let words: Vec<&str> = ["operations", &name, below].into_iter().filter(|word| !word.is_empty()).collect();
    Route::of(&words)
}

async fn asked(
    server: &Server,
    OfPlan { number, hash }: OfPlan,
    request: &PlanActionRequest,
    is_dry_run: bool,
) -> Result<PlanJson, Failure> {
    let tag = match hash {
        Some(hash) => format!("\"{hash}\""),
        None => server.get::<IgnoredAny>(named(number, "")).await?.tag,
    };
    let route = named(number, "actions");
    let route = if is_dry_run { route.with("dryRun", true) } else { route };
    Ok(server.post(route, Some(&tag), request).await?.what)
}

fn apply(reason: &str, pace: &PlanPace) -> PlanActionRequest {
    PlanActionRequest {
        action: PlanActionName::Apply,
        reason: reason.to_owned(),
        rate: Some(pace.rate.clone()),
        ramp: Some(pace.ramp),
        max_items: pace.items_max,
        stop_on_error_percent: pace.stop_percent,
    }
}

fn steered(to: Steer, reason: &str) -> PlanActionRequest {
    let action = match to {
        Steer::Pause => PlanActionName::Pause,
        Steer::Resume => PlanActionName::Resume,
        Steer::Cancel => PlanActionName::Cancel,
    };
    PlanActionRequest {
        action,
        reason: reason.to_owned(),
        rate: None,
        ramp: None,
        max_items: None,
        stop_on_error_percent: None,
    }
}

impl Many {
    /// The plan that is asked for, as a server reads it.
    fn request(&self, verb: &Verb) -> Result<PlanRequest, Failure> {
        let mut request = PlanRequest::of(verb);
        match self.names()? {
            Some(names) => {
                // Line by line, so that a line is told by the number that it has in the file.
                request.sagas = Some(names.lines().map(str::to_owned).collect());
                request.definition = self.definition.clone();
            }
            None if self.failure.is_some() => request.failure.clone_from(&self.failure),
            None => {
                let mut said = Conditions::of(self.conditions.iter().map(|(text, _)| text.as_str()));
                said.definition = self.definition.clone().or(said.definition);
                request.conditions = Some(said);
            }
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{found, scripted};
    use super::*;
    use crate::operations::Draft;

    #[tokio::test]
    async fn what_is_done_with_a_plan_is_done_with_the_one_that_was_shown() {
        let plan = operations::drafted(&Draft::new(Verb::Resume, Vec::new()), "", 1);
        let body = serde_json::to_string(&plan).unwrap();
        let (server, asked) = scripted(vec![found("", &body), found("other", &body), found("", &body)]).await;
        let doing = Doing::Server(&server);
        doing.steer(OfPlan { number: 7, hash: Some(plan.hash) }, Steer::Pause, "r").await.unwrap();
        doing.steer(OfPlan { number: 7, hash: None }, Steer::Pause, "r").await.unwrap();
        let asked = asked.await.unwrap();
        let means = |request: &str, tag: &str| request.contains(&format!("if-match: \"{tag}\"\r\n"));
        assert!(asked[0].starts_with("POST") && means(&asked[0], &plan.hash.to_string()), "{asked:?}");
        assert!(asked[1].starts_with("GET") && means(&asked[2], "other"), "nobody was shown one: {asked:?}");
    }
}
