//! Load against the configured Kafka and Postgres: an engine in a process of its own, participants and a generator in this one.

mod cpu;
mod load;
mod participants;
mod report;
mod run;

pub use report::Report;
pub use run::BenchError;
pub use run::BenchOptions;
pub use run::run;
