//! One load: warm-up, measurement.

use std::path::Path;
use std::time::Duration;

use crate::operations::Places;

use super::arrivals::{Spread, arrivals};
use super::case::Case;
use super::load::{Load, Measured, Pace, Strike};
use super::processes::{Clocks, resident_bytes};
use super::report::Report;
use super::stage::{Engine, EngineKind, Stage, Width, locked};
use super::{BenchError, failed, past};

/// Sagas that warm up: the broker's machine code is made while it works.
const WARM_UP: u64 = 4_000;
/// Of them in flight.
const WARM_UP_IN_FLIGHT: u64 = 500;
/// How long what is left of a load that was given up may take.
const DRAIN: Duration = Duration::from_secs(120);
/// Arrivals follow this seed, so that two engines are asked the same.
const SEED: u64 = 7;

/// What is asked of an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Offered {
    /// So many sagas, so many of them in flight (closed loop).
    InFlight {
        /// Sagas in all.
        sagas: u64,
        /// In flight at once.
        inflight: u64,
    },
    /// So many a second for so long (open loop): latency counts from the intended start.
    Rate {
        /// Sagas a second.
        rate: f64,
        /// For how long.
        length: Duration,
        /// How arrivals are spread.
        spread: Spread,
    },
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BenchOptions {
    /// Which sagas.
    pub case: Case,
    /// On which engine.
    pub engine: EngineKind,
    /// On how many of them.
    pub width: Width,
    /// How many.
    pub offered: Offered,
    /// So many sagas that have ended lie in the database before.
    pub stored: u64,
    /// So many sagas are open meanwhile, and nobody answers them.
    pub idle: u64,
    /// The engines are killed so long after the beginning, and started again at once.
    pub kill_after: Option<Duration>,
}

impl BenchOptions {
    /// This load on Sagabus, on a system that is new.
    pub(super) fn of(case: Case, width: Width, offered: Offered) -> Self {
        Self { case, engine: EngineKind::Sagabus, width, offered, stored: 0, idle: 0, kill_after: None }
    }
}

/// Sets a stage, warms it up, measures one load.
///
/// # Errors
/// Kafka or Postgres is not there, or the engine does not start.
pub async fn run(places: &Places, options: &BenchOptions, program: &Path) -> Result<Report, BenchError> {
    let mut stage = Stage::set(places, program, (options.case, options.engine), options.width).await?;
    warm_up(&mut stage).await?;
    let url = places.database_url().map_err(failed("find the database"))?;
    if options.stored > 0 {
        past::store(url, options.stored).await?;
    }
    let idle = if options.idle > 0 { Some(past::idle(&mut stage, url, options.idle).await?) } else { None };
    let mut report = measure(&mut stage, options.offered, options.kill_after).await?;
    report.bytes_per_idle_saga = idle;
    Ok(report)
}

/// Runs sagas that nobody measures.
pub(super) async fn warm_up(stage: &mut Stage) -> Result<(), BenchError> {
    tracing::info!(sagas = WARM_UP, "warming up");
    blocking(stage, |load| load.run(&Pace::Closed { inflight: WARM_UP_IN_FLIGHT, sagas: WARM_UP }, None))
        .await
        .map(|_| ())
}

/// Measures one load on a stage that is warm. What an open loop that was given up has left is waited for, and not measured.
pub(super) async fn measure(
    stage: &mut Stage,
    offered: Offered,
    kill_after: Option<Duration>,
) -> Result<Report, BenchError> {
    let pace = match offered {
        Offered::InFlight { sagas, inflight } => Pace::Closed { inflight: inflight.max(1), sagas: sagas.max(1) },
        Offered::Rate { rate, length, spread } => Pace::Open(arrivals(rate, length, spread, SEED)),
    };
    let look = failed("read the database's figures");
    let strike = kill_after.map(|after| {
        let engines = stage.engines();
        Strike { after, act: Box::new(move || locked(&engines).iter_mut().for_each(Engine::strike)) }
    });
    let (cpu, before) = (Clocks::now(&stage.processes()), stage.watch.look().await.map_err(&look)?);
    let measured = blocking(stage, move |load| load.run(&pace, strike)).await?;
    let spent = Clocks::now(&stage.processes()).since(&cpu);
    let figures = stage.watch.look().await.map_err(look)?.since(before);
    let resident = resident_bytes(&stage.processes());
    if !stage.all_live() {
        return Err(BenchError { attempted: "measure", message: "an engine has ended: its log says why".to_owned() });
    }
    if measured.is_hopeless && !blocking(stage, |load| load.drain(DRAIN)).await? {
        return Err(BenchError { attempted: "drain", message: "sagas of an earlier load do not end".to_owned() });
    }
    Ok(Report::new(stage, offered, &measured, (spent, figures, resident)))
}

/// Runs the generator on a thread where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    stage: &mut Stage,
    work: impl FnOnce(&mut Load) -> T + Send + 'static,
) -> Result<T, BenchError> {
    let mut load = stage.load.take().ok_or_else(|| failed("measure")("the generator is gone"))?;
    let done = tokio::task::spawn_blocking(move || {
        let outcome = work(&mut load);
        (load, outcome)
    });
    let (load, outcome) = done.await.map_err(failed("measure"))?;
    stage.load = Some(load);
    Ok(outcome)
}

impl Measured {
    /// Sagas that have ended.
    pub(super) fn ended(&self) -> u64 {
        self.outcomes.values().sum()
    }
}
