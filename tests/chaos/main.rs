//! The real engine on real Kafka and Postgres under faults, with a ledger (RELIABILITY.md sections 3 and 4.4). `make chaos`, or see
//! `--help`. Each row has a stage of its own: two engines behind fault proxies, participants, load, and an audit at the end.
//!
//! ```text
//!                       ┌─▶ proxy ─▶ engine a ◀─ proxy ◀─┐
//! load ──▶ Kafka ◀──────┤                                ├───▶ primary ──proxy──▶ standby
//!            ▲          └─▶ proxy ─▶ engine b ◀─ proxy ◀─┘
//!            └──▶ participants ──▶ ledger
//! ```

#![expect(clippy::print_stdout, reason = "a program that reports")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::disallowed_methods, reason = "it is no engine: tasks and connections end with the program")]

mod audit;
mod brokers;
mod cluster;
mod engines;
mod load;
mod participants;
mod proxy;
mod rows;
mod stage;

use std::process::ExitCode;

use clap::Parser;
use sagabus::engine::wall_clock;

use rows::{Outcome, ROWS, Row};
use stage::World;

/// What a stage costs beside its faults: to begin, to end its sagas, to audit.
const STAGE_SECONDS: u32 = 15;

/// Fires the faults of RELIABILITY.md section 3 and says what became of them.
#[derive(Parser)]
struct Arguments {
    /// Fires as often as fits into about this many minutes, each fault once at least.
    #[arg(long)]
    minutes: Option<u32>,
    /// Only rows with this number, such as A1.
    #[arg(long)]
    row: Option<String>,
    /// Of these, only those whose fault contains this text.
    #[arg(long)]
    fault: Option<String>,
    /// Only rows that take seconds, a few times each.
    #[arg(long)]
    quick: bool,
    /// Fires this often instead.
    #[arg(long)]
    tries: Option<u32>,
    /// Another version's program: row A7 exchanges the two under load.
    #[arg(long)]
    other: Option<std::path::PathBuf>,
    /// Is the participants' process of this stage.
    #[arg(long, hide = true, requires = "ledger")]
    participants: Option<String>,
    /// Where they keep what they did.
    #[arg(long, hide = true)]
    ledger: Option<String>,
}

impl Arguments {
    fn wants(&self, row: &Row) -> bool {
        self.row.as_ref().is_none_or(|id| row.id == id)
            && self.fault.as_ref().is_none_or(|text| row.fault.contains(text.as_str()))
            && (!self.quick || row.is_quick)
            && (self.other.is_some() || !row.needs_other())
    }

    /// How often each row fires.
    fn tries(&self, rows: &[Row]) -> Vec<u32> {
        let full: u32 = rows.iter().map(|row| row.tries * row.seconds).sum();
        let left = self
            .minutes
            .map(|minutes| (minutes * 60).saturating_sub(STAGE_SECONDS * u32::try_from(rows.len()).unwrap()));
        let scaled = |row: &Row| match (self.tries, self.quick, left) {
            (Some(tries), ..) => tries,
            (None, true, _) => (20 / row.seconds).clamp(1, 3),
            (None, false, Some(left)) if left < full => (row.tries * left / full).max(1),
            (None, false, _) => row.tries,
        };
        rows.iter().map(scaled).collect()
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let (Some(name), Some(ledger)) = (&arguments.participants, &arguments.ledger) {
        let kafka = std::env::var("SAGABUS_KAFKA").expect("the stage tells where Kafka is");
        participants::serve(name, &kafka, ledger).await;
        return ExitCode::SUCCESS;
    }
    let rows: Vec<Row> = ROWS.into_iter().filter(|row| arguments.wants(row)).collect();
    let mut world = World::make(arguments.other.clone()).await;
    let mut table = Vec::new();
    for (row, tries) in rows.iter().zip(arguments.tries(&rows)) {
        let begun = wall_clock();
        println!("{} {}: {tries} times", row.id, row.fault);
        let mut outcome = row.run(&mut world, tries).await;
        let slow = outcome.recoveries.iter().filter(|millis| **millis > row.limit_ms);
        outcome.violations.extend(slow.map(|millis| format!("{millis} ms, at most {} are promised", row.limit_ms)));
        if outcome.fired == 0 {
            outcome.violations.push("it never fired".to_owned());
        }
        for violation in &outcome.violations {
            println!("  VIOLATED {violation}");
        }
        world.is_kept |= !outcome.violations.is_empty();
        println!("{}  ({} s)", line(row, &outcome), wall_clock().millis_since(begun) / 1_000);
        table.push((*row, outcome));
    }
    report(&table)
}

fn line(row: &Row, outcome: &Outcome) -> String {
    let mut sorted = outcome.recoveries.clone();
    sorted.sort_unstable();
    let shown = |millis: Option<&u64>| millis.map_or_else(|| "-".to_owned(), ToString::to_string);
    format!(
        "{:<4} {:<37} {:>5} {:>10} {:>8} {:>8}  {}",
        row.id,
        row.fault,
        outcome.fired,
        outcome.violations.len(),
        shown(sorted.last()),
        shown(sorted.get(sorted.len() / 2)),
        row.measured
    )
}

fn report(table: &[(Row, Outcome)]) -> ExitCode {
    println!(
        "\n{:<4} {:<37} {:>5} {:>10} {:>8} {:>8}  measured",
        "ROW", "FAULT", "FIRED", "VIOLATIONS", "WORST MS", "MEDIAN"
    );
    table.iter().for_each(|(row, outcome)| println!("{}", line(row, outcome)));
    let violated = table.iter().filter(|(_, outcome)| !outcome.violations.is_empty()).count();
    println!("{} passed, {violated} failed", table.len() - violated);
    ExitCode::from(u8::from(violated > 0 || table.is_empty()))
}
