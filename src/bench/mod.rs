//! Load against the configured Kafka and Postgres: an engine in a process of its own, participants and a generator in this one.
//!
//! ```text
//! arrivals ─▶ load ──triggers──▶ engine (or naive) ──commands──▶ participants
//!               ◀──announcements──┘   ◀────────answers───────────┘
//! ```
//! `run` measures one load, `capacity` searches the highest rate that holds, `suite` does everything that `docs/performance.md` shows.

mod arrivals;
mod capacity;
mod case;
mod figures;
mod load;
mod machine;
mod model;
mod naive;
mod participants;
mod past;
mod plot;
mod processes;
mod report;
mod run;
mod search;
mod stage;
mod suite;

pub use arrivals::Spread;
pub use capacity::Capacity;
pub use case::Case;
pub use case::Shape;
pub use machine::Machine;
pub use model::Model;
pub use model::Share;
pub use naive::naive;
pub use report::Report;
pub use run::BenchOptions;
pub use run::Offered;
pub use run::run;
pub use stage::EngineKind;
pub use stage::Width;
pub use suite::Suite;
pub use suite::SuiteOptions;
pub use suite::suite;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}: {message}")]
pub struct BenchError {
    /// What was attempted.
    pub attempted: &'static str,
    /// Why it failed.
    pub message: String,
}

fn failed<E: std::fmt::Display>(attempted: &'static str) -> impl Fn(E) -> BenchError {
    move |error| BenchError { attempted, message: error.to_string() }
}
