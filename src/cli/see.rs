//! Verbs that only look: find, lists, and everything about one saga. They read on a connection that cannot write.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::core::Phase;
use crate::operations::{Exit, Failure, GraphFormat, Times, parse_phase};
use crate::store::SagaFilter;

use super::arguments::{ListOutputArguments, OneSaga, OutputArguments, SagaArguments, TimeArguments, WhereArguments};
use super::reach::{Looking, One, Reach};
use super::reveal::RevealArguments;
use super::{output, render};

/// How often `--follow` looks.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(super) enum SeeVerb {
    /// Find a saga by whatever is at hand: its id, its business key, a command's id, a trace id, TOPIC/PARTITION/OFFSET.
    ///
    /// The record at a place is read from Kafka, if it is configured and has it; else the newest sagas are looked through for a trigger
    /// that came from there. Exit 3: nothing is found.
    #[command(after_help = "Example: sagabus find order-42")]
    Find {
        /// What is at hand.
        #[arg(value_name = "ANYTHING")]
        anything: String,
        /// How many sagas are looked through for a trigger that Kafka has no more.
        #[arg(long, default_value_t = 10_000, value_name = "N")]
        newest: usize,
        #[command(flatten)]
        times: TimeArguments,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Sagas, newest first.
    #[command(after_help = "Example: sagabus list --where phase=stuck --where started-after=1h")]
    List(ListArguments),
    /// How many sagas there are, by definition and phase.
    #[command(after_help = "Example: sagabus count --where started-after=24h")]
    Count {
        #[command(flatten)]
        which: WhichArguments,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Why a saga stands where it stands: what it waits for, since when, what happens next, what can be done.
    #[command(after_help = "Example: sagabus explain order-42")]
    Explain(SagaArguments),
    /// A saga's journal.
    #[command(after_help = "Example: sagabus history order-42 --failed")]
    History {
        #[command(flatten)]
        one: OneSaga,
        /// Print what is added, until the saga has ended or Ctrl-C.
        #[arg(long, conflicts_with = "reverse")]
        follow: bool,
        /// Only the facts that say that something went wrong.
        #[arg(long)]
        failed: bool,
        /// The newest first.
        #[arg(long)]
        reverse: bool,
        #[command(flatten)]
        reveal: RevealArguments,
        #[command(flatten)]
        times: TimeArguments,
        /// How to print.
        #[arg(long, value_enum, default_value_t = HistoryFormat::Table)]
        output: HistoryFormat,
    },
    /// A saga's steps as a graph, with the state of each.
    #[command(after_help = "Example: sagabus graph order-42 --format mermaid")]
    Graph {
        #[command(flatten)]
        one: OneSaga,
        /// In which language.
        #[arg(long, value_enum, default_value_t = GraphLanguage::Ascii)]
        format: GraphLanguage,
    },
    /// When each step of a saga was ready, sent and answered; to the left how it was undone.
    #[command(after_help = "Example: sagabus timeline order-42")]
    Timeline {
        #[command(flatten)]
        one: OneSaga,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Sagas that wait for a person: at which step, since when, why, what can be done.
    #[command(after_help = "Example: sagabus stuck --where definition=trade-settlement")]
    Stuck(ListArguments),
    /// Steps that wait for a signal or an approval: since when, until when, what was asked. Of sagas that run, unless --where names another phase.
    #[command(after_help = "Example: sagabus waiting --where definition=refund")]
    Waiting(ListArguments),
    /// What goes wrong in sagas that have not ended, in groups: definition, step, direction, code.
    ///
    /// A group disappears when its sagas move on. Sagas that only wait for their next attempt are not among them.
    #[command(
        after_help = "Example: sagabus failures\n         sagabus failures show G1a2b3c",
        args_conflicts_with_subcommands = true
    )]
    Failures {
        #[command(subcommand)]
        show: Option<FailuresVerb>,
        #[command(flatten)]
        list: FailuresArguments,
    },
    /// Where the histories of two sagas part.
    #[command(after_help = "Example: sagabus diff order-42 order-43")]
    Diff {
        /// The first saga's id or business key.
        #[arg(value_name = "A")]
        a: String,
        /// The second saga's id or business key.
        #[arg(value_name = "B")]
        b: String,
        #[command(flatten)]
        output: OutputArguments,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct WhichArguments {
    #[command(flatten)]
    conditions: WhereArguments,
    /// Only sagas in this phase.
    #[arg(long, value_parser = parse_phase)]
    phase: Option<Phase>,
    /// Only sagas of this definition.
    #[arg(long)]
    definition: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    which: WhichArguments,
    /// At most this many; a cut is said on standard error.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    times: TimeArguments,
    #[command(flatten)]
    output: ListOutputArguments,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum FailuresVerb {
    /// The sagas of one group.
    Show {
        /// The group's id.
        #[arg(value_name = "G")]
        group: String,
        #[command(flatten)]
        list: FailuresArguments,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct FailuresArguments {
    /// Look at this many sagas, the newest of those that failed; a cut is said on standard error.
    #[arg(long, default_value_t = 10_000)]
    limit: usize,
    #[command(flatten)]
    times: TimeArguments,
    #[command(flatten)]
    output: ListOutputArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HistoryFormat {
    /// For people.
    Table,
    /// For programs: one array.
    Json,
    /// For programs: a line a row.
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum GraphLanguage {
    /// For a browser.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// For a terminal.
    Ascii,
}

impl WhichArguments {
    fn filter(&self, times: Times) -> SagaFilter {
        let mut filter = self.conditions.filter(times.now);
        filter.phase = self.phase.or(filter.phase);
        filter.definition = self.definition.clone().or(filter.definition);
        filter
    }
}

impl ListArguments {
    /// Prints what was found, and says whether there is more.
    fn print<T: Serialize>(
        &self,
        (found, is_cut): &(Vec<T>, bool),
        now: Times,
        name: impl Fn(&T) -> String,
        table: impl FnOnce(&[T], Times) -> String,
    ) {
        output::cut(*is_cut, self.limit);
        let times = self.times.seen_from(now.now);
        output::many(self.output.output, found, name, |found| table(found, times));
    }
}

/// Looks, and prints what was seen.
pub(super) async fn run(reach: &Reach, verb: SeeVerb, who: &str) -> Result<ExitCode, Failure> {
    let looking = reach.looking().await?;
    let now = Times::iso(crate::engine::wall_clock());
    match verb {
        SeeVerb::Find { anything, newest, times, output } => {
            let found = looking.find(&anything, newest, times.format_of(output.output)).await?;
            output::one(output.output, &found, |found| render::found(found, times.seen_from(now.now)));
        }
        SeeVerb::List(list) => {
            let found = looking.list(&list.which.filter(now), list.limit).await?;
            list.print(&found, now, |saga| saga.id.to_string(), render::sagas);
        }
        SeeVerb::Count { which, output } => {
            let found = looking.count(&which.filter(now)).await?;
            output::one(output.output, &found, |found| render::counts(found));
        }
        SeeVerb::Explain(asked) => explain(reach, &looking, asked, who).await?,
        SeeVerb::History { one, follow, failed, reverse, reveal, times, output } => {
            let one = reach.revealed(looking.one(&one).await?, &reveal, who).await?;
            history(&looking, one, (follow, failed, reverse), times, output).await?;
        }
        SeeVerb::Graph { one, format } => {
            let format = match format {
                GraphLanguage::Mermaid => GraphFormat::Mermaid,
                GraphLanguage::Dot => GraphFormat::Dot,
                GraphLanguage::Ascii => GraphFormat::Ascii,
            };
            output::print(looking.graph(looking.one(&one).await?, format).await?.trim_end());
        }
        SeeVerb::Timeline { one, output } => {
            let seen = looking.timeline(looking.one(&one).await?).await?;
            output::one(output.output, &seen.what, |bars| render::timeline(bars, seen.now));
        }
        SeeVerb::Stuck(list) => {
            let found = looking.stuck(&list.which.filter(now), list.limit).await?;
            list.print(&found, now, |found| found.saga_id.to_string(), render::troubles);
        }
        SeeVerb::Waiting(list) => {
            let found = looking.waiting(&list.which.filter(now), list.limit).await?;
            list.print(&found, now, |found| found.saga_id.to_string(), render::waiting);
        }
        SeeVerb::Failures { show, list } => failures(&looking, show, list).await?,
        SeeVerb::Diff { a, b, output } => {
            let [a, b] = [a, b].map(|saga| OneSaga { saga, definition: None });
            let (a, b) = (looking.one(&a).await?, looking.one(&b).await?);
            let found = looking.difference(a, b).await?;
            output::one(output.output, &found, |found| render::difference(found));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn explain(reach: &Reach, looking: &Looking<'_>, asked: SagaArguments, who: &str) -> Result<(), Failure> {
    let SagaArguments { one, reveal, times, output } = asked;
    let one = reach.revealed(looking.one(&one).await?, &reveal, who).await?;
    let seen = looking.explain(one, times.format_of(output.output)).await?;
    output::one(output.output, &seen.what, |explanation| render::explanation(explanation, times.seen_from(seen.now)));
    Ok(())
}

async fn failures(looking: &Looking<'_>, show: Option<FailuresVerb>, list: FailuresArguments) -> Result<(), Failure> {
    let now = crate::engine::wall_clock();
    let Some(FailuresVerb::Show { group, list }) = show else {
        let (groups, is_cut) = looking.groups(list.limit).await?;
        output::cut(is_cut, list.limit);
        let times = list.times.seen_from(now);
        output::many(list.output.output, &groups, |group| group.id.clone(), |groups| render::failures(groups, times));
        return Ok(());
    };
    let (found, is_cut) = looking.group(&group, list.limit).await?;
    output::cut(is_cut, list.limit);
    let times = list.times.seen_from(now);
    output::many(list.output.output, &found, |found| found.saga_id.to_string(), |found| render::troubles(found, times));
    Ok(())
}

async fn history(
    looking: &Looking<'_>,
    one: One,
    (follow, failed, reverse): (bool, bool, bool),
    times: TimeArguments,
    format: HistoryFormat,
) -> Result<(), Failure> {
    if follow && format == HistoryFormat::Json {
        return Err(Failure::new(Exit::Usage, "one array does not grow", "say --output jsonl with --follow"));
    }
    let mut before = 0;
    loop {
        let (seen, is_over) =
            if follow { looking.followed(one, failed).await? } else { (looking.history(one, failed).await?, true) };
        let mut rows = seen.what;
        rows.retain(|row| row.seq > before);
        before = rows.last().map_or(before, |row| row.seq);
        if reverse {
            rows.reverse();
        }
        match format {
            HistoryFormat::Table if rows.is_empty() => {}
            HistoryFormat::Table => output::print(render::history(&rows, times.seen_from(seen.now)).trim_end()),
            HistoryFormat::Json => output::json(&rows),
            HistoryFormat::Jsonl => output::json_lines(&rows),
        }
        if is_over {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}
