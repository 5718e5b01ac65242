//! Bulk actions: what a repair verb with many sagas plans, and the verbs for plans and jobs.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::core::Verb;
use crate::operations::{ApprovalRequest, Exit, Failure, PlanJson, Rate, Steer, Times, plan_number};
use crate::store::{PlanPace, PlanState};

use super::arguments::{ListOutputArguments, OutputArguments, OutputFormat, TimeArguments};
use super::consent::Consent;
use super::reach::{Doing, OfPlan, Reach};
use super::reveal::RevealArguments;
use super::selection::Many;
use super::{output, render};

/// How often `jobs watch` looks.
const LOOK: Duration = Duration::from_millis(500);

const JOB_RULES: &str = "Exit codes: 0 done, 2 wrong usage, 3 no such plan, 4 refused: its state does not allow it, or it needs a second person, \
    6 the database does not answer.";

fn helped(example: &str) -> String {
    format!("Example: {example}\n\n{JOB_RULES}")
}

#[derive(Debug, Subcommand)]
pub(super) enum BulkVerb {
    /// Plans of bulk actions: a repair verb with --where, --failure or --file makes one.
    #[command(subcommand)]
    Plan(PlanVerb),
    /// Apply a plan: it becomes a job, on which every running `serve` works. Changes something.
    ///
    /// A saga whose journal has moved on since the plan is refused. Nothing is asked for twice, whatever dies. A plan of more sagas than
    /// `plan approval` says is applied by somebody else than who planned it.
    #[command(after_help = helped("sagabus apply p31 --reason \"ledger is open again\" --rate 20/s --ramp --stop-on-error-percent 5 --yes"))]
    Apply(ApplyArguments),
    /// Plans that were applied.
    #[command(subcommand)]
    Jobs(JobsVerb),
}

#[derive(Debug, Subcommand)]
pub(super) enum PlanVerb {
    /// Plans, newest first.
    #[command(after_help = "Example: sagabus plan list")]
    List(PlansArguments),
    /// One plan: its sagas, what would be sent for each, what became of it.
    #[command(after_help = "Example: sagabus plan show p31 --limit 20")]
    Show {
        #[command(flatten)]
        plan: OnePlan,
        /// At most this many sagas; a cut is said on standard error.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        reveal: RevealArguments,
        #[command(flatten)]
        times: TimeArguments,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Above how many sagas a second person applies a plan. With --minimum-sagas it changes something.
    ///
    /// While there is no login, a person is whoever they say they are (--who): this protects from one person's mistake, not from malice.
    #[command(
        after_help = "Example: sagabus plan approval --minimum-sagas 50 --reason \"two of us are on call\" --yes"
    )]
    Approval {
        /// Plans of more eligible sagas than this need a second person.
        #[arg(long, value_name = "N")]
        minimum_sagas: Option<u32>,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum JobsVerb {
    /// Jobs, newest first.
    #[command(after_help = "Example: sagabus jobs list")]
    List(PlansArguments),
    /// Watch a job to its end, or until it waits for a person. Ctrl-C detaches: the job goes on.
    #[command(
        after_help = "Example: sagabus jobs watch p31\n\nExit codes: 0 done, 3 no such plan, 4 cancelled, paused or not applied, 5 partial: some items \
        were refused or failed, 6 the database does not answer."
    )]
    Watch {
        #[command(flatten)]
        plan: OnePlan,
        /// How to print: json is the end alone.
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Ask for nothing more, for now. Changes something.
    #[command(after_help = helped("sagabus jobs pause p31 --reason \"the ledger is slow\" --yes"))]
    Pause(SteerArguments),
    /// Let a paused job go on; what went wrong so far stops it no more. Changes something.
    #[command(after_help = helped("sagabus jobs resume p31 --reason \"they were known\" --yes"))]
    Resume(SteerArguments),
    /// Ask for nothing more, for good; a plan that was not applied is withdrawn. Changes something.
    #[command(after_help = helped("sagabus jobs cancel p31 --reason \"wrong sagas\" --yes"))]
    Cancel(SteerArguments),
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct OnePlan {
    /// The plan, such as p31.
    #[arg(value_name = "PLAN", value_parser = plan_number)]
    plan: i64,
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct PlansArguments {
    /// At most this many; a cut is said on standard error.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    times: TimeArguments,
    #[command(flatten)]
    output: ListOutputArguments,
}

#[derive(Clone, Debug, Args)]
pub(super) struct SteerArguments {
    #[command(flatten)]
    plan: OnePlan,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ApplyArguments {
    #[command(flatten)]
    plan: OnePlan,
    /// Sagas a time: 20/s, 300/m, 1000/h.
    #[arg(long, default_value = Rate::DEFAULT, value_name = "RATE", value_parser = rate)]
    rate: String,
    /// Begin with waves of 1, 2, 5, 10, 25 ... sagas, each after the one before it was decided.
    #[arg(long)]
    ramp: bool,
    /// No more sagas than this.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max: Option<u32>,
    /// Pause when more of a hundred go wrong: refused, failed, or stuck again. Counted from 20 outcomes on.
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u32).range(0..100))]
    stop_on_error_percent: Option<u32>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    output: OutputArguments,
}

fn rate(text: &str) -> Result<String, String> {
    Rate::parse(text).map(|_| text.to_owned())
}

/// Plans the action for many sagas, or shows what would be planned.
pub(super) async fn plan(
    reach: &Reach,
    many: &Many,
    verb: &Verb,
    consent: &Consent,
    format: OutputFormat,
    who: &str,
) -> Result<ExitCode, Failure> {
    consent.is_for_a_plan()?;
    let planned = reach.doing(consent.dry_run, who).await?.draft(many, verb, consent.dry_run).await?;
    output::one(format, &planned, render::planned);
    if let Some(id) = planned.id.as_ref().filter(|_| planned.eligible > 0) {
        let second = if planned.needs_second_person { "; a second person has to" } else { "" };
        output::note(&format!(
            "nothing is done yet: sagabus plan show {id}, then sagabus apply {id} --reason TEXT{second}"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Looks after plans and jobs.
pub(super) async fn run(reach: &Reach, verb: BulkVerb, who: &str) -> Result<ExitCode, Failure> {
    match verb {
        BulkVerb::Plan(PlanVerb::List(arguments)) => {
            let found = listed(reach, false, arguments).await?;
            print_plans(arguments, &found, render::plans);
        }
        BulkVerb::Plan(PlanVerb::Show { plan: OnePlan { plan }, limit, reveal, times, output: format }) => {
            let sight = reach.sight_of_plan(plan, &reveal, who).await?;
            let (shown, is_cut) = reach.doing(true, who).await?.show_plan(plan, limit, sight).await?;
            output::cut(is_cut, limit);
            let times = times.seen_from(crate::engine::wall_clock());
            output::one(format.output, &shown, |shown| render::plan_shown(shown, times));
        }
        BulkVerb::Plan(PlanVerb::Approval { minimum_sagas, consent }) => {
            return approval(reach, minimum_sagas, &consent, who).await;
        }
        BulkVerb::Apply(arguments) => return apply(reach, arguments, who).await,
        BulkVerb::Jobs(JobsVerb::List(arguments)) => {
            let found = listed(reach, true, arguments).await?;
            print_plans(arguments, &found, render::jobs);
        }
        BulkVerb::Jobs(JobsVerb::Watch { plan: OnePlan { plan }, output: format }) => {
            return watch(&reach.doing(true, who).await?, plan, format.output).await;
        }
        BulkVerb::Jobs(JobsVerb::Pause(arguments)) => return steer(reach, Steer::Pause, arguments, who).await,
        BulkVerb::Jobs(JobsVerb::Resume(arguments)) => return steer(reach, Steer::Resume, arguments, who).await,
        BulkVerb::Jobs(JobsVerb::Cancel(arguments)) => return steer(reach, Steer::Cancel, arguments, who).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn listed(reach: &Reach, jobs_only: bool, arguments: PlansArguments) -> Result<Vec<PlanJson>, Failure> {
    let (found, is_cut) = reach.doing(true, "").await?.plans(jobs_only, arguments.limit).await?;
    output::cut(is_cut, arguments.limit);
    Ok(found)
}

async fn approval(reach: &Reach, minimum: Option<u32>, consent: &Consent, who: &str) -> Result<ExitCode, Failure> {
    let Some(minimum_sagas) = minimum else {
        let minimum = reach.doing(true, who).await?.approval().await?.minimum_sagas;
        output::print(&format!("plans of more than {minimum} sagas are applied by a second person"));
        return Ok(ExitCode::SUCCESS);
    };
    let request = ApprovalRequest { minimum_sagas, reason: consent.reason()? };
    request.check()?;
    let said = format!("plans of more than {minimum_sagas} sagas need a second person");
    consent.ask(&format!("{said}?"))?;
    if !consent.dry_run {
        reach.doing(false, who).await?.set_approval(&request).await?;
    }
    output::note(&said);
    Ok(ExitCode::SUCCESS)
}

async fn apply(reach: &Reach, arguments: ApplyArguments, who: &str) -> Result<ExitCode, Failure> {
    let ApplyArguments { plan: OnePlan { plan: number }, consent, output: OutputArguments { output: format }, .. } =
        arguments;
    let reason = consent.reason()?;
    let pace = PlanPace {
        rate: arguments.rate,
        ramp: arguments.ramp,
        items_max: arguments.max,
        stop_percent: arguments.stop_on_error_percent,
    };
    let doing = reach.doing(consent.dry_run, who).await?;
    let mut of = OfPlan { number, hash: None };
    if consent.dry_run || consent.asks() {
        let planned = doing.plan(number).await?;
        of.hash = Some(planned.hash);
        output::note(render::planned(&planned).trim_end());
        doing.check_apply(of, &pace).await?;
        if consent.dry_run {
            output::one(format, &planned, |planned| {
                format!("{} of {} sagas at {}", planned.verb, planned.eligible, pace.rate)
            });
            return Ok(ExitCode::SUCCESS);
        }
        consent.ask(&format!("{} {} sagas at {}?", planned.verb, planned.eligible, pace.rate))?;
    }
    let applied = doing.apply(of, &reason, &pace).await?;
    match format {
        OutputFormat::Json => output::json(&applied),
        OutputFormat::Table => output::note(&format!(
            "p{number} goes on by itself while a sagabus serve runs on this database: sagabus jobs watch p{number}"
        )),
    }
    Ok(ExitCode::SUCCESS)
}

async fn steer(reach: &Reach, steer: Steer, arguments: SteerArguments, who: &str) -> Result<ExitCode, Failure> {
    let SteerArguments { plan: OnePlan { plan: number }, consent, output: format } = arguments;
    let reason = consent.reason()?;
    let doing = reach.doing(consent.dry_run, who).await?;
    let mut of = OfPlan { number, hash: None };
    if consent.dry_run || consent.asks() {
        let seen = doing.check_steer(number, steer).await?;
        of.hash = Some(seen.hash);
        output::note(render::progress(&seen).trim_end());
        consent.ask(&format!("{} p{number}?", steer.name()))?;
    }
    if !consent.dry_run {
        let steered = doing.steer(of, steer, &reason).await?;
        output::one(format.output, &steered, render::progress);
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows how far a job is until it ends, or waits for a person: a bar on a terminal, else a line when something has changed.
async fn watch(doing: &Doing<'_>, number: i64, format: OutputFormat) -> Result<ExitCode, Failure> {
    let is_shown = format == OutputFormat::Table;
    let bar = (is_shown && std::io::stderr().is_terminal()).then(bar);
    let mut said = String::new();
    let (ended, state) = loop {
        let (seen, state) = doing.look_at_plan(number).await?;
        let line = render::progress(&seen).trim_end().to_owned();
        match &bar {
            Some(bar) => draw(bar, &seen, &line),
            None if is_shown && line != said => output::print(&line),
            None => {}
        }
        said = line;
        if state != PlanState::Applying {
            break (seen, state);
        }
        tokio::time::sleep(LOOK).await;
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
        output::print(&said);
    }
    if format == OutputFormat::Json {
        output::json(&doing.hidden(ended).await?);
    }
    Ok(match state {
        PlanState::Done => ExitCode::SUCCESS,
        PlanState::Partial => ExitCode::from(Exit::Partial as u8),
        PlanState::Paused | PlanState::Cancelled | PlanState::Planned | PlanState::Expired | PlanState::Applying => {
            ExitCode::from(Exit::Refused as u8)
        }
    })
}

/// A bar on standard error.
pub(super) fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len}  {msg}").expect("the template is one");
    ProgressBar::new(0).with_style(style)
}

fn draw(bar: &ProgressBar, seen: &PlanJson, line: &str) {
    if let Some(job) = &seen.job {
        let decided = job.applied + job.refused + job.failed;
        bar.set_length(u64::from(decided + job.pending));
        bar.set_position(u64::from(decided));
    }
    bar.set_message(line.to_owned());
}

fn print_plans(arguments: PlansArguments, plans: &[PlanJson], table: impl Fn(&[PlanJson], Times) -> String) {
    let times = arguments.times.seen_from(crate::engine::wall_clock());
    let name = |plan: &PlanJson| plan.id.clone().unwrap_or_default();
    output::many(arguments.output.output, plans, name, |plans| table(plans, times));
}
