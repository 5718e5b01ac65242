//! Records put aside: the verbs that look at them and send them down the line again.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use crate::operations::{self, Edit, Exit, Failure, ParkedCondition, Rate};
use crate::store::{ParkedFilter, ParkedState};

use super::arguments::{ListOutputArguments, OutputArguments, OutputFormat, TimeArguments};
use super::consent::Consent;
use super::reach::{Doing, Mended, Reach};
use super::reveal::RevealArguments;
use super::{input, output, render, sweep};

const RULES: &str = "An engine judges: `sagabus serve` has to run on this database. Several messages enter the line in the order of their \
    logs. One that would be put aside again stays parked.\n\n\
    Exit codes: 0 none stays parked, 1 not wanted at the question, 2 wrong usage, 3 no such message, 4 refused, or all stay parked, \
    5 some stay parked, 6 the database does not answer or no engine judged.";

fn helped(example: &str) -> String {
    format!("{RULES}\n\nExample: {example}")
}

#[derive(Debug, Subcommand)]
pub(super) enum ParkedVerb {
    /// Records put aside, newest first.
    #[command(after_help = "Example: sagabus parked list --why malformed")]
    List {
        #[command(flatten)]
        which: Which,
        /// Whether they wait for a person.
        #[arg(long, value_enum, default_value_t = StateArgument::Parked)]
        state: StateArgument,
        /// At most this many; a cut is said on standard error.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        output: ListOutputArguments,
    },
    /// One message: headers, value, why it was put aside, how often it entered the line again.
    #[command(after_help = "Example: sagabus parked show 17")]
    Show {
        /// Its number.
        id: i64,
        #[command(flatten)]
        reveal: RevealArguments,
        #[command(flatten)]
        times: TimeArguments,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Send messages down the line again as they are. Changes something.
    ///
    /// Chosen by what is true of them instead of by number: what would happen is shown first, by topic and reason, with those that are
    /// refused. Then they are worked through in the order of their logs at --rate, and those of one key one after the other: when one is
    /// put aside again, those behind it are refused. It may be stopped at any time: what was judged stays so, and the same words choose
    /// what is left.
    #[command(after_help = helped("sagabus parked redrive 17 18 --reason \"the definition knows them now\" --yes\n         \
        sagabus parked redrive --where topic=orders.events --reason-code trigger-data --rate 50/s --reason \"INC-7\" --yes"))]
    Redrive {
        #[command(flatten)]
        chosen: Chosen,
        /// Messages a time, where they are not said by number: 20/s, 300/m, 1000/h.
        #[arg(long, default_value = Rate::DEFAULT, value_name = "RATE", value_parser = Rate::parse)]
        rate: Rate,
        #[command(flatten)]
        again: Again,
    },
    /// Send a message down the line again with another value or other headers. Changes something.
    #[command(after_help = helped("sagabus parked edit 17 --file repaired.json --reason \"amount was a text\" --yes"))]
    Edit {
        /// Its number.
        id: i64,
        /// The whole value: a file, or - for standard input.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// A header that is set.
        #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
        header: Vec<(String, String)>,
        /// A header that is taken away.
        #[arg(long, value_name = "NAME")]
        no_header: Vec<String>,
        #[command(flatten)]
        again: Again,
    },
    /// Make an orphan the answer that a saga's step waits for. Changes something.
    #[command(after_help = helped("sagabus parked bind 17 --saga order-42 --step clearing --reason \"asked them\" --yes"))]
    Bind {
        /// Its number.
        id: i64,
        /// The saga's id or business key.
        #[arg(long, value_name = "ID|KEY")]
        saga: String,
        /// The step that waits.
        #[arg(long, value_name = "STEP")]
        step: String,
        #[command(flatten)]
        again: Again,
    },
    /// Say that messages need not be looked at any more; they are kept. Changes something.
    #[command(
        after_help = "Exit codes: 0 done, 1 not wanted at the question, 2 wrong usage, 3 no such message, 5 somebody else dealt with some \
        of them meanwhile, 6 the database does not answer.\n\n\
        Example: sagabus parked discard 17 --reason \"a test of theirs\" --yes\n         \
        sagabus parked discard --where topic=orders.events --where parked-before=720h --reason \"too old\" --yes"
    )]
    Discard {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        output: OutputArguments,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(super) struct Which {
    /// Only messages of this topic.
    #[arg(long)]
    topic: Option<String>,
    /// Only messages with this key.
    #[arg(long)]
    key: Option<String>,
    /// Only messages whose reason begins so, such as malformed, orphan or orphan: unknown-saga.
    #[arg(long, value_name = "PREFIX")]
    why: Option<String>,
    /// Only messages with this code in their reason, such as trigger-data.
    #[arg(long, value_name = "CODE")]
    reason_code: Option<String>,
    /// Only messages for which this is true; may be said several times: topic=NAME, key=KEY, reason=PREFIX, code=CODE,
    /// parked-after=TIME, parked-before=TIME (RFC 3339, or how long ago: 1h30m).
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = ParkedCondition::parse)]
    conditions: Vec<ParkedCondition>,
}

impl Which {
    fn filter(self, state: Option<ParkedState>) -> ParkedFilter {
        let said = operations::parked_filter(&self.conditions, crate::engine::wall_clock());
        ParkedFilter {
            state,
            topic: self.topic.or(said.topic),
            key: self.key.or(said.key),
            reason_prefix: self.why.or(said.reason_prefix),
            code: self.reason_code.or(said.code),
            ..said
        }
    }
}

/// Messages by number, or those that wait and fit.
#[derive(Clone, Debug, Args)]
pub(super) struct Chosen {
    /// Their numbers.
    #[arg(value_name = "ID", conflicts_with_all = ["topic", "key", "why", "reason_code", "conditions", "limit"])]
    ids: Vec<i64>,
    #[command(flatten)]
    which: Which,
    /// At most this many, the first in the order of their logs.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    limit: usize,
}

/// What was said of the messages.
enum Said {
    Ids(Vec<i64>),
    Where(ParkedFilter, usize),
}

#[derive(Clone, Debug, Args)]
pub(super) struct Again {
    /// Also after three times, and before an earlier message of the same key.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pub(super) consent: Consent,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StateArgument {
    /// They do.
    Parked,
    /// They entered the line again, and were not put aside again.
    Redriven,
    /// A person said that they need not be looked at.
    Discarded,
    /// All of them.
    All,
}

impl Chosen {
    fn said(self) -> Result<Said, Failure> {
        if !self.ids.is_empty() {
            return Ok(Said::Ids(self.ids));
        }
        if self.which == Which::default() {
            let hint = "say their numbers, or which ones by --where, --topic, --key, --why or --reason-code";
            return Err(Failure::new(Exit::Usage, "no parked message is chosen", hint));
        }
        Ok(Said::Where(self.which.filter(Some(ParkedState::Parked)), self.limit))
    }
}

/// Does what the command line says.
pub(super) async fn run(reach: &Reach, verb: ParkedVerb, who: &str) -> Result<ExitCode, Failure> {
    match verb {
        ParkedVerb::List { which, state, limit, output: format } => {
            let state = match state {
                StateArgument::Parked => Some(ParkedState::Parked),
                StateArgument::Redriven => Some(ParkedState::Redriven),
                StateArgument::Discarded => Some(ParkedState::Discarded),
                StateArgument::All => None,
            };
            let (found, is_cut) = reach.parked(&which.filter(state), limit).await?;
            output::cut(is_cut, limit);
            output::many(format.output, &found, |parked| parked.id.to_string(), render::parked);
            Ok(ExitCode::SUCCESS)
        }
        ParkedVerb::Show { id, reveal, times, output: format } => {
            let shown = reach.show_parked(id, &reveal, who).await?;
            let times = times.seen_from(crate::engine::wall_clock());
            output::one(format.output, &shown, |shown| render::parked_shown(shown, times));
            Ok(ExitCode::SUCCESS)
        }
        ParkedVerb::Redrive { chosen, rate, again } => {
            let (said, reason) = (chosen.said()?, again.consent.reason()?);
            let doing = reach.doing(again.consent.dry_run, who).await?;
            match said {
                Said::Ids(ids) => redrive(&doing, &ids, &Mended::AsItIs, &reason, &again).await,
                Said::Where(filter, limit) => {
                    let paced = (rate, again.force);
                    sweep::redrive(&doing, (&filter, limit), paced, &reason, &again).await
                }
            }
        }
        ParkedVerb::Edit { id, file, header, no_header, again } => {
            let reason = again.consent.reason()?;
            let set = header.into_iter().map(|(name, value)| (name, Some(value)));
            let headers: Vec<_> = set.chain(no_header.into_iter().map(|name| (name, None))).collect();
            let value = file.map(|file| input::bytes("--file", &file)).transpose()?;
            if value.is_none() && headers.is_empty() {
                let hint = "say --file, --header or --no-header; as it is it is sent by parked redrive";
                return Err(Failure::new(Exit::Usage, "nothing is edited", hint));
            }
            let doing = reach.doing(again.consent.dry_run, who).await?;
            redrive(&doing, &[id], &Mended::Edited(Edit { value, headers }), &reason, &again).await
        }
        ParkedVerb::Bind { id, saga, step, again } => {
            let reason = again.consent.reason()?;
            let doing = reach.doing(again.consent.dry_run, who).await?;
            redrive(&doing, &[id], &Mended::Bound { saga, step }, &reason, &again).await
        }
        ParkedVerb::Discard { chosen, consent, output: format } => {
            discard(reach, chosen, (&consent, format.output), who).await
        }
    }
}

async fn discard(
    reach: &Reach,
    chosen: Chosen,
    (consent, format): (&Consent, OutputFormat),
    who: &str,
) -> Result<ExitCode, Failure> {
    let (said, reason) = (chosen.said()?, consent.reason()?);
    let doing = reach.doing(consent.dry_run, who).await?;
    let ids = match said {
        Said::Ids(ids) => ids,
        Said::Where(filter, limit) => {
            return sweep::discard(&doing, (&filter, limit), &reason, consent, format).await;
        }
    };
    if consent.dry_run {
        output::note(&format!("would discard {} parked messages", ids.len()));
        return Ok(ExitCode::SUCCESS);
    }
    consent.ask(&format!("discard {} parked messages?", ids.len()))?;
    let discarded = doing.discard(&ids, &reason).await?;
    Ok(sweep::discarded(discarded, ids.len(), format))
}

async fn redrive(
    doing: &Doing<'_>,
    ids: &[i64],
    mended: &Mended,
    reason: &str,
    again: &Again,
) -> Result<ExitCode, Failure> {
    let verb = mended.verb();
    doing.check_redrive(ids, mended, again.force).await?;
    if again.consent.dry_run {
        output::note(&format!("would {verb} {} parked messages", ids.len()));
        return Ok(ExitCode::SUCCESS);
    }
    again.consent.ask(&format!("{verb} {} parked messages?", ids.len()))?;
    let judged = doing.redrive(ids, mended, reason, again.force).await?;
    output::one(again.output.output, &judged, |judged| render::redriven(judged));
    Ok(match judged.iter().filter(|one| one.stays_parked).count() {
        0 => ExitCode::SUCCESS,
        all if all == judged.len() => ExitCode::from(Exit::Refused as u8),
        _ => ExitCode::from(Exit::Partial as u8),
    })
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("say NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
