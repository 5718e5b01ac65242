//! What a bench says.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Sagas that were measured, each of five steps.
    pub sagas: u64,
    /// Sagas that warmed up before.
    pub warm_up: u64,
    /// Seconds that the measured ones took.
    pub seconds: f64,
    /// Sagas ended a second.
    pub sagas_per_second: f64,
    /// From the intended start to the announcement of the end.
    pub latency_p50_ms: f64,
    /// See `latency_p50_ms`.
    pub latency_p99_ms: f64,
    /// CPU seconds per 1,000 sagas: the engine's process.
    pub engine_cpu: f64,
    /// Participants and generator.
    pub participants_cpu: f64,
    /// All processes of Postgres.
    pub postgres_cpu: f64,
    /// The broker.
    pub broker_cpu: f64,
    /// Bytes of write-ahead log a saga.
    pub wal_bytes_per_saga: f64,
    /// How the sagas ended, by the type of their announcement.
    pub outcomes: BTreeMap<String, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:.0} sagas/s   {} sagas of five steps in {:.1} s, after {} to warm up",
            self.sagas_per_second, self.sagas, self.seconds, self.warm_up
        )?;
        writeln!(f, "latency      p50 {:.0} ms   p99 {:.0} ms", self.latency_p50_ms, self.latency_p99_ms)?;
        writeln!(
            f,
            "CPU s/1,000  engine {:.3}   participants and generator {:.3}   postgres {:.3}   broker {:.3}   all {:.3}",
            self.engine_cpu,
            self.participants_cpu,
            self.postgres_cpu,
            self.broker_cpu,
            self.engine_cpu + self.participants_cpu + self.postgres_cpu + self.broker_cpu
        )?;
        let outcomes: Vec<String> = self.outcomes.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        write!(f, "WAL          {:.0} B a saga\nends         {}", self.wal_bytes_per_saga, outcomes.join(", "))
    }
}
