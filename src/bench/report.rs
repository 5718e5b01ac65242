//! What one load came to.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::figures::Figures;
use super::load::Measured;
use super::processes::Spent;
use super::run::Offered;
use super::stage::Stage;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Which sagas.
    pub case: &'static str,
    /// On which engine.
    pub engine: &'static str,
    /// On how many of them, a process each.
    pub engines: u32,
    /// Partitions of each topic.
    pub partitions: i32,
    /// Sagas that were to begin a second; `None`: a closed loop.
    pub offered_per_second: Option<f64>,
    /// Sagas that have ended, each of five steps.
    pub sagas: u64,
    /// Seconds that they took.
    pub seconds: f64,
    /// Sagas ended a second.
    pub sagas_per_second: f64,
    /// In flight when the last one began.
    pub behind: usize,
    /// An open loop was given up: it was far behind.
    pub is_hopeless: bool,
    /// From the intended start to the announcement of the end.
    pub latency_p50_ms: f64,
    /// See `latency_p50_ms`.
    pub latency_p99_ms: f64,
    /// See `latency_p50_ms`.
    pub latency_max_ms: f64,
    /// CPU seconds per 1,000 sagas: the engines' processes.
    pub engine_cpu: f64,
    /// Participants and generator.
    pub participants_cpu: f64,
    /// All processes of Postgres.
    pub postgres_cpu: f64,
    /// The broker.
    pub broker_cpu: f64,
    /// Bytes of write-ahead log a saga.
    pub wal_bytes_per_saga: f64,
    /// Bytes that the broker wrote to its logs a saga: triggers, commands, answers, announcements, compressed as they came.
    pub kafka_bytes_per_saga: f64,
    /// How often the write-ahead log was forced to the disk, for 1,000 sagas.
    pub syncs_per_thousand: f64,
    /// Transactions for 1,000 sagas, those that only look among them.
    pub transactions_per_thousand: f64,
    /// Statements for 1,000 sagas; `None`: the server does not count them.
    pub statements_per_thousand: Option<f64>,
    /// Percent of updates that touched no index.
    pub hot_percent: f64,
    /// Rows that nobody sees and vacuum has not removed.
    pub dead_rows: i64,
    /// The engines' resident memory at the end.
    pub engine_resident_bytes: u64,
    /// What each idle saga takes of the engine's memory.
    pub bytes_per_idle_saga: Option<f64>,
    /// After the engine was killed: the longest time without an end, in milliseconds.
    pub silence_ms: Option<f64>,
    /// After the engine was killed: until no more was in flight than before, in milliseconds.
    pub drained_ms: Option<f64>,
    /// How the sagas ended, by the type of their announcement.
    pub outcomes: BTreeMap<String, u64>,
    /// Latencies in microseconds, as HdrHistogram's V2 format in Base64.
    pub histogram: String,
}

impl Report {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(super) fn new(
        stage: &Stage,
        offered: Offered,
        measured: &Measured,
        (spent, figures, resident): (Spent, Figures, u64),
    ) -> Self {
        let sagas = measured.ended();
        let (count, seconds) = (sagas.max(1) as f64, measured.elapsed.as_secs_f64());
        let thousands = count / 1_000.0;
        let latency = |quantile| measured.latency.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            case: stage.case.name,
            engine: stage.kind.name(),
            engines: stage.width.engines,
            partitions: stage.width.partitions,
            offered_per_second: match offered {
                Offered::InFlight { .. } => None,
                Offered::Rate { rate, .. } => Some(rate),
            },
            sagas,
            seconds,
            sagas_per_second: sagas as f64 / seconds,
            behind: measured.behind,
            is_hopeless: measured.is_hopeless,
            latency_p50_ms: latency(0.5),
            latency_p99_ms: latency(0.99),
            latency_max_ms: latency(1.0),
            engine_cpu: spent.engine / thousands,
            participants_cpu: spent.own / thousands,
            postgres_cpu: spent.postgres / thousands,
            broker_cpu: spent.broker / thousands,
            wal_bytes_per_saga: figures.wal_bytes as f64 / count,
            kafka_bytes_per_saga: spent.broker_written / count,
            syncs_per_thousand: figures.wal_syncs as f64 / thousands,
            transactions_per_thousand: figures.transactions as f64 / thousands,
            statements_per_thousand: figures.statements.map(|calls| calls as f64 / thousands),
            hot_percent: 100.0 * figures.hot_updates as f64 / figures.updates.max(1) as f64,
            dead_rows: figures.dead_rows,
            engine_resident_bytes: resident,
            bytes_per_idle_saga: None,
            silence_ms: measured.recovery.map(|recovery| recovery.silence.as_secs_f64() * 1_000.0),
            drained_ms: measured.recovery.map(|recovery| recovery.drained.as_secs_f64() * 1_000.0),
            outcomes: measured.outcomes.iter().map(|(kind, count)| (kind.clone(), *count)).collect(),
            histogram: encoded(&measured.latency),
        }
    }

    /// CPU seconds per 1,000 sagas of all processes together.
    pub fn all_cpu(&self) -> f64 {
        self.engine_cpu + self.participants_cpu + self.postgres_cpu + self.broker_cpu
    }
}

fn encoded(histogram: &Histogram<u64>) -> String {
    use base64::Engine as _;
    use hdrhistogram::serialization::{Serializer as _, V2Serializer};
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(histogram, &mut bytes).expect("a histogram of integers has a form");
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:.0} sagas/s   {} sagas of five steps in {:.1} s   case {}, engine {}{}, {} partitions",
            self.sagas_per_second,
            self.sagas,
            self.seconds,
            self.case,
            self.engine,
            if self.engines > 1 { format!(" {} times", self.engines) } else { String::new() },
            self.partitions
        )?;
        if self.is_hopeless {
            writeln!(f, "given up     it was far behind the rate that was offered")?;
        }
        writeln!(
            f,
            "latency      p50 {:.0} ms   p99 {:.0} ms   max {:.0} ms",
            self.latency_p50_ms, self.latency_p99_ms, self.latency_max_ms
        )?;
        writeln!(
            f,
            "CPU s/1,000  engine {:.3}   participants and generator {:.3}   postgres {:.3}   broker {:.3}   all {:.3}",
            self.engine_cpu,
            self.participants_cpu,
            self.postgres_cpu,
            self.broker_cpu,
            self.all_cpu()
        )?;
        let statements = self.statements_per_thousand.map_or_else(|| "?".to_owned(), |calls| format!("{calls:.0}"));
        writeln!(
            f,
            "written      {:.0} B of WAL and {:.0} B by the broker a saga",
            self.wal_bytes_per_saga, self.kafka_bytes_per_saga
        )?;
        writeln!(
            f,
            "Postgres     for 1,000: {:.0} syncs, {:.0} transactions, {statements} statements   HOT {:.0} %   dead rows {}",
            self.syncs_per_thousand, self.transactions_per_thousand, self.hot_percent, self.dead_rows
        )?;
        if let (Some(silence), Some(drained)) = (self.silence_ms, self.drained_ms) {
            writeln!(
                f,
                "killed       {silence:.0} ms without an end, {drained:.0} ms until nothing more was in flight than before"
            )?;
        }
        let outcomes: Vec<String> = self.outcomes.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let resident = self.engine_resident_bytes / 1_048_576;
        let idle = self.bytes_per_idle_saga.map_or_else(String::new, |bytes| format!("   {bytes:.0} B an idle saga"));
        write!(f, "memory       engine {resident} MiB{idle}\nends         {}", outcomes.join(", "))
    }
}
