//! Runs the sloppy participant: `cargo run --example sloppy -- no-tombstone --command-topic order.commands`.

mod participant;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use sagabus::bus::KafkaSettings;

use participant::{Participant, Sloppiness};

/// A participant that breaks one rule of the contract.
#[derive(Debug, Parser)]
struct Arguments {
    /// What it does badly.
    #[arg(value_enum)]
    sloppiness: Sloppiness,
    /// Where its commands come from.
    #[arg(long, value_name = "TOPIC")]
    command_topic: String,
    /// Where it writes down its effects, a line `saga step +1` or `-1` each.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Kafka's bootstrap servers.
    #[arg(long, env = "SAGABUS_KAFKA", value_name = "SERVERS")]
    kafka: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let kafka = KafkaSettings::new(&arguments.kafka, &format!("sloppy-{}", arguments.command_topic), None);
    let participant = Participant::new(arguments.sloppiness, arguments.ledger.as_deref())?;
    Ok(participant::serve(&kafka, &arguments.command_topic, participant, &AtomicBool::new(false))?)
}
