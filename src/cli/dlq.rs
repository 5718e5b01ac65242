//! Dead letters: what participants, or anybody, put aside in topics of their own.

use std::process::ExitCode;

use clap::Subcommand;

use crate::operations::{self, Exit, Failure, Letters, Places, Rate};

use super::arguments::{ListOutputArguments, OutputArguments, OutputFormat, TimeArguments};
use super::consent::Consent;
use super::reveal::RevealArguments;
use super::{output, render};

const READS: &str = "Reads apart from any group, and commits nothing.\n\n\
    Exit codes: 0 done, 2 no Kafka is configured, 3 no such topic or record, 6 Kafka does not answer.";

#[derive(Debug, Subcommand)]
pub(super) enum DlqVerb {
    /// The dead letters of a topic, newest first: where each came from, which saga and step it names, why it is there.
    ///
    /// What is told of a letter is told by its headers: kafka_dlt-*, x-original-*, __connect.errors.*, parked.*, and ours (ce_*).
    #[command(after_help = format!("{READS}\n\nExample: sagabus dlq list clearing.dead-letters"))]
    List {
        /// The topic.
        topic: String,
        /// Only this partition.
        #[arg(long, value_name = "N")]
        partition: Option<i32>,
        /// At most this many; a cut is said on standard error.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        times: TimeArguments,
        #[command(flatten)]
        output: ListOutputArguments,
    },
    /// One dead letter: headers and value.
    #[command(after_help = format!("{READS}\n\nExample: sagabus dlq show clearing.dead-letters 3@88123"))]
    Show {
        /// The topic.
        topic: String,
        /// Where it lies.
        #[arg(value_name = "PARTITION@OFFSET", value_parser = place)]
        place: (i32, i64),
        #[command(flatten)]
        reveal: RevealArguments,
        #[command(flatten)]
        times: TimeArguments,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Send dead letters back to where they came from. Changes something.
    ///
    /// A command of ours is sent again by its saga, with the same id, if the saga waits for it. A trigger or an answer enters the line as
    /// from its own topic, without the headers that were added to it. Anything else is refused: it is for its owner to send back. The
    /// letters stay where they are, and it may be done again: ids are the same.
    #[command(after_help = "An engine decides: `sagabus serve` has to run on this database.\n\n\
        Exit codes: 0 all went back, 1 not wanted at the question, 2 wrong usage, 3 no such topic or record, 4 none went back, 5 some were \
        refused, 6 Kafka or the database does not answer, or no engine decided.\n\n\
        Example: sagabus dlq redrive clearing.dead-letters 3@88123 --reason \"their account is open again\" --yes\n         \
        sagabus dlq redrive clearing.dead-letters --all --rate 5/s --reason \"INC-7\" --yes")]
    Redrive {
        /// The topic.
        topic: String,
        /// Where it lies.
        #[arg(value_name = "PARTITION@OFFSET", value_parser = place, conflicts_with = "all")]
        place: Option<(i32, i64)>,
        /// All of the topic, in the order of its log.
        #[arg(long)]
        all: bool,
        /// At most this many of all; a cut is said on standard error.
        #[arg(long, default_value_t = 1_000, value_name = "N")]
        limit: usize,
        /// Letters a time: 20/s, 300/m, 1000/h.
        #[arg(long, default_value = Rate::DEFAULT, value_name = "RATE", value_parser = Rate::parse)]
        rate: Rate,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        output: OutputArguments,
    },
}

fn place(text: &str) -> Result<(i32, i64), String> {
    let read = || {
        let (partition, offset) = text.split_once('@')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    };
    read().ok_or_else(|| "say PARTITION@OFFSET, such as 3@88123".to_owned())
}

/// Does what the command line says.
pub(super) async fn run(places: &Places, verb: DlqVerb, who: &str) -> Result<ExitCode, Failure> {
    let now = crate::engine::wall_clock();
    match verb {
        DlqVerb::List { topic, partition, limit, times, output: format } => {
            let (found, is_cut) = operations::dead_letters(places, &topic, partition, limit).await?;
            output::cut(is_cut, limit);
            let times = times.seen_from(now);
            let name = |letter: &operations::LetterJson| format!("{}@{}", letter.partition, letter.offset);
            output::many(format.output, &found, name, |found| render::letters(found, times));
            Ok(ExitCode::SUCCESS)
        }
        DlqVerb::Show { topic, place, reveal, times, output: format } => {
            let target = format!("dead letter {topic}/{}@{}", place.0, place.1);
            let sight = reveal.sight(places, who, &target).await?;
            let shown = operations::show_letter(places, &topic, place, sight).await?;
            let times = times.seen_from(now);
            output::one(format.output, &shown, |shown| render::letter_shown(shown, times));
            Ok(ExitCode::SUCCESS)
        }
        DlqVerb::Redrive { topic, place, all, limit, rate, consent, output: format } => {
            let one = place.map(|(partition, offset)| Letters::One(partition, offset));
            let wanted = one
                .or(all.then_some(Letters::All(limit)))
                .ok_or_else(|| Failure::new(Exit::Usage, "no letter is chosen", "say PARTITION@OFFSET, or --all"))?;
            redrive(places, (&topic, &wanted, limit), rate, &consent, (who, format.output)).await
        }
    }
}

async fn redrive(
    places: &Places,
    (topic, wanted, limit): (&str, &Letters, usize),
    rate: Rate,
    consent: &Consent,
    (who, format): (&str, OutputFormat),
) -> Result<ExitCode, Failure> {
    let reason = consent.reason()?;
    let console = if consent.dry_run { places.reading().await? } else { places.console().await? };
    let bag = operations::mailbag(places, &console, topic, wanted).await?;
    output::cut(bag.shown.is_cut, limit);
    if consent.dry_run {
        output::one(format, &bag.shown, render::mailbag);
    } else {
        output::note(render::mailbag(&bag.shown).trim_end());
    }
    if bag.shown.goes_back() == 0 {
        let hint = "sagabus dlq show tells more of one";
        return Err(Failure::new(Exit::Refused, format!("nothing of {topic} goes back"), hint));
    }
    if consent.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    consent.ask(&format!("send {} letters back?", bag.shown.goes_back()))?;
    let mut so_far = operations::DlqReport::default();
    let progress = |report: &operations::DlqReport| so_far.clone_from(report);
    let ended = operations::redrive_letters(&console, bag, rate, (who, &reason), progress).await;
    let report = ended.inspect_err(|_| output::note(render::mailbag(&so_far).trim_end()))?;
    output::one(format, &report, render::mailbag);
    Ok(match (report.goes_back(), report.refused) {
        (_, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(Exit::Refused as u8),
        (_, _) => ExitCode::from(Exit::Partial as u8),
    })
}
