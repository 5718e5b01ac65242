//! One run: topics, schema, an engine of its own, warm-up, measurement.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::{Connection as _, PgConnection};

use crate::bus::KafkaSettings;
use crate::definition::read_folder;
use crate::operations::{self, Places};
use crate::store::migrate;

use super::cpu::Spent;
use super::load::{Load, Measured, Pace};
use super::participants::answer;
use super::report::Report;

const WAL_SELECT: &str = include_str!("sql/wal_select.sql");
const PARTITIONS: i32 = 4;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct BenchOptions {
    /// Sagas that are measured.
    pub sagas: u64,
    /// Sagas in flight (closed loop).
    pub inflight: u64,
    /// Sagas a second (open loop), instead.
    pub rate: Option<f64>,
    /// Percent of sagas whose fourth step fails.
    pub fail_percent: u8,
}

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

/// A process that ends with this value.
struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Runs the bench. `program` is this binary: the engine runs as a process of its own, so that its CPU is told apart.
///
/// # Errors
/// Kafka or Postgres is not there, or the engine does not start.
pub async fn run(places: &Places, options: &BenchOptions, program: &Path) -> Result<Report, BenchError> {
    let name = format!("bench-{}", crate::engine::wall_clock().micros() / 1_000_000);
    let url = places.database_url().map_err(failed("find the database"))?;
    let kafka = places.kafka(None).map_err(failed("find Kafka"))?.for_group(&name);
    migrate(url).await.map_err(failed("migrate the schema"))?;
    let folder = write_definition(&name).map_err(failed("write the definition"))?;
    let plans = read_folder(&folder).map_err(failed("read the definition"))?;
    let needs = operations::needs_of(plans.iter().map(|(_, plan)| plan));
    operations::ensure(places, &needs, PARTITIONS).await.map_err(failed("make topics"))?;
    let engine = start_engine(places, program, &folder, &name)?;
    let stop = Arc::new(AtomicBool::new(false));
    let answering = spawn_participants(kafka.for_group(&format!("{name}-services")), &name, Arc::clone(&stop))?;
    let outcome = measure(&kafka, url, &name, options, engine.0.id()).await;
    stop.store(true, Ordering::Relaxed);
    _ = answering.join();
    drop(engine);
    _ = std::fs::remove_dir_all(folder);
    outcome
}

async fn measure(
    kafka: &KafkaSettings,
    url: &str,
    name: &str,
    options: &BenchOptions,
    engine: u32,
) -> Result<Report, BenchError> {
    let mut database = PgConnection::connect(url).await.map_err(failed("reach the database"))?;
    let mut load = Load::new(kafka, name).map_err(failed("make Kafka clients"))?;
    let pace = options.rate.map_or(Pace::InFlight(options.inflight.max(1)), Pace::Rate);
    let warm_up = (options.sagas / 10).max(500);
    tracing::info!(sagas = warm_up, "warming up");
    let blocking = |mut load: Load, sagas: u64, pace: Pace, fail_percent: u8| {
        tokio::task::spawn_blocking(move || {
            let measured = load.run(sagas, pace, fail_percent);
            (load, measured)
        })
    };
    let warmed = blocking(load, warm_up, Pace::InFlight(options.inflight.clamp(1, 500)), options.fail_percent).await;
    (load, _) = warmed.map_err(failed("warm up"))?;
    tracing::info!(sagas = options.sagas, "measuring");
    let (cpu, wal) = (Spent::now(engine), wal_bytes(&mut database).await?);
    let ran = blocking(load, options.sagas, pace, options.fail_percent).await;
    let (_, measured) = ran.map_err(failed("measure"))?;
    let spent = Spent::now(engine).since(cpu);
    let wal = wal_bytes(&mut database).await? - wal;
    Ok(report(options.sagas, warm_up, &measured, spent, wal))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn report(sagas: u64, warm_up: u64, measured: &Measured, spent: Spent, wal: i64) -> Report {
    let thousands = sagas as f64 / 1_000.0;
    let seconds = measured.elapsed.as_secs_f64();
    Report {
        sagas,
        warm_up,
        seconds,
        sagas_per_second: sagas as f64 / seconds,
        latency_p50_ms: measured.latency.value_at_quantile(0.5) as f64 / 1_000.0,
        latency_p99_ms: measured.latency.value_at_quantile(0.99) as f64 / 1_000.0,
        engine_cpu: spent.engine / thousands,
        participants_cpu: spent.own / thousands,
        postgres_cpu: spent.postgres / thousands,
        broker_cpu: spent.broker / thousands,
        wal_bytes_per_saga: wal as f64 / sagas as f64,
        outcomes: measured.outcomes.iter().map(|(kind, count)| (kind.clone(), *count)).collect(),
    }
}

async fn wal_bytes(database: &mut PgConnection) -> Result<i64, BenchError> {
    let (bytes,): (i64,) =
        sqlx::query_as(WAL_SELECT).fetch_one(database).await.map_err(failed("read the position of the log"))?;
    Ok(bytes)
}

fn write_definition(name: &str) -> std::io::Result<PathBuf> {
    let steps: String = (1..=5)
        .map(|n| {
            let after = if n == 1 { String::new() } else { format!("after: [s{}], ", n - 1) };
            format!(
                "  s{n}: {{{after}command: {{type: do, data: \"${{trigger.data}}\"}}, compensate: {{type: undo}}}}\n"
            )
        })
        .collect();
    let participants: String = (1..=5).map(|n| format!("  s{n}: {{commandTopic: {name}.s{n}}}\n")).collect();
    let text = format!(
        "saga: v1\nname: {name}\nversion: 1\ntrigger: {{topic: {name}.triggers, type: go}}\nbusinessKey: ${{trigger.data.id}}\n\
         participants:\n{participants}defaults: {{timeout: 60s, patience: 10m}}\nsteps:\n{steps}"
    );
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("bench.saga.yaml"), text)?;
    Ok(folder)
}

fn start_engine(places: &Places, program: &Path, folder: &Path, name: &str) -> Result<Engine, BenchError> {
    let mut command = Command::new(program);
    command.args(["serve", "--dev", "--from", "earliest", "--group", name, "--definitions"]).arg(folder);
    command.args(["--kafka", places.kafka.as_deref().unwrap_or_default()]);
    command.env("SAGABUS_DATABASE_URL", places.database_url.as_deref().unwrap_or_default()).env("SAGABUS_LOG", "error");
    command.env_remove("SAGABUS_LISTEN").env_remove("SAGABUS_INSTANCE").stdout(Stdio::null());
    command.spawn().map(Engine).map_err(failed("start an engine"))
}

fn spawn_participants(
    kafka: KafkaSettings,
    name: &str,
    stop: Arc<AtomicBool>,
) -> Result<std::thread::JoinHandle<()>, BenchError> {
    let topics: Vec<String> = (1..=5).map(|n| format!("{name}.s{n}")).collect();
    let work = move || {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        if let Err(error) = answer(&kafka, &topics, &stop) {
            tracing::error!(%error, "participants ended");
        }
    };
    std::thread::Builder::new().name("participants".to_owned()).spawn(work).map_err(failed("start a thread"))
}
