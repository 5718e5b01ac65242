//! `sagabus audit`: who did what, whether that was changed afterwards, and what became of every record.

use std::process::ExitCode;

use clap::Subcommand;

use crate::core::Sha256;
use crate::operations::{self, AuditJson, AuditReport, Failure, HeadJson, Times};

use super::arguments::{ListOutputArguments, OutputArguments, TimeArguments};
use super::reach::Reach;
use super::render::{or_dash, printable, table};
use super::{checks, output};

#[derive(Debug, Subcommand)]
pub(super) enum AuditVerb {
    /// Prove that every consumed record ended as exactly one verdict; exit 1 if a partition does not balance.
    ///
    /// Each partition: next - first = verdicts + gaps, no count is negative, as many messages are parked as verdicts say, all of them
    /// between first and next, no partition between others is missing. With Kafka reachable also: next lies in the log. Without, the
    /// database alone is checked, and standard error says so. Reads only.
    Balance {
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Who did what and who was not let, newest first.
    #[command(after_help = "Example: sagabus audit list --limit 20")]
    List {
        /// At most this many; a cut is said on standard error.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        times: TimeArguments,
        #[command(flatten)]
        output: ListOutputArguments,
    },
    /// Go along the hash chain: whether an entry was changed, taken away or slipped in since it was sealed; exit 1 if so.
    ///
    /// It tells how far the audit is sealed and what the end of the chain is. Whoever can write to the tables can make the whole chain
    /// anew: against that, keep an end of it elsewhere (engines log it) and say it with --kept.
    #[command(after_help = "Example: sagabus audit verify --kept 812:9f2c...")]
    Verify {
        /// An end of the chain that was kept elsewhere: its place and its hash.
        #[arg(long, value_name = "PLACE:HASH", value_parser = kept)]
        kept: Option<HeadJson>,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Every sealed entry with its hash, oldest first, a line of JSON each.
    #[command(after_help = "Example: sagabus audit export > audit.jsonl")]
    Export,
}

fn kept(text: &str) -> Result<HeadJson, String> {
    let read = || {
        let (place, hash) = text.split_once(':')?;
        Some(HeadJson { place: place.parse().ok()?, hash: Sha256::parse(hash)? })
    };
    read().ok_or_else(|| "say PLACE:HASH, the hash as 64 hexadecimal digits".to_owned())
}

/// Does what the command line says.
pub(super) async fn run(reach: &Reach, verb: AuditVerb) -> Result<ExitCode, Failure> {
    match verb {
        AuditVerb::Balance { output: format } => checks::balance(reach.places("audit balance")?, format.output).await,
        AuditVerb::List { limit, times, output: format } => {
            let (found, is_cut) = reach.audit(limit).await?;
            output::cut(is_cut, limit);
            let times = times.seen_from(crate::engine::wall_clock());
            output::many(format.output, &found, |entry| entry.id.to_string(), |found| listed(found, times));
            Ok(ExitCode::SUCCESS)
        }
        AuditVerb::Verify { kept, output: format } => {
            let console = reach.places("audit verify")?.reading().await?;
            let report = operations::verify_audit(&console, kept).await?;
            output::one(format.output, &report, verified);
            Ok(ExitCode::from(u8::from(!report.findings.is_empty())))
        }
        AuditVerb::Export => {
            let console = reach.places("audit export")?.reading().await?;
            let count = operations::export_audit(&console, |entry| output::json_lines(&[entry])).await?;
            output::note(&format!("{count} entries"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn listed(found: &[AuditJson], times: Times) -> String {
    let mut rows = table(&["ID", "WHEN", "WHO", "VERB", "TARGET", "OUTCOME", "REASON", "MESSAGE"]);
    for entry in found {
        rows.add_row([
            entry.id.to_string(),
            times.column(entry.at.0),
            printable(&entry.who),
            printable(&entry.verb),
            printable(&entry.target),
            printable(&entry.outcome),
            printable(&entry.reason),
            printable(or_dash(entry.message.as_deref())),
        ]);
    }
    rows.trim_fmt()
}

fn verified(report: &AuditReport) -> String {
    let mut text = String::new();
    if !report.findings.is_empty() {
        let mut rows = table(&["PLACE", "ENTRY", "WRONG"]);
        let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        for finding in &report.findings {
            rows.add_row([number(finding.place), number(finding.audit_id), printable(&finding.what)]);
        }
        text = format!("{}\n\n", rows.trim_fmt());
    }
    let HeadJson { place, hash } = report.head;
    let counts =
        format!("{} entries sealed, {} not yet; {} wrong", report.sealed, report.unsealed, report.findings.len());
    format!("{text}{counts}\nhead {place}:{hash}\n")
}
