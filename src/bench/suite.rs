//! Everything that `docs/performance.md` shows, in one go: what the machine gives, what each engine holds, latency by load, every case.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::operations::Places;

use super::arrivals::Spread;
use super::capacity::{Capacity, capacity};
use super::case::Case;
use super::machine::Machine;
use super::model::Model;
use super::plot::{cpu_by_load, latency_by_load};
use super::report::Report;
use super::run::{BenchOptions, Offered, measure, run, warm_up};
use super::stage::{EngineKind, Stage, Width};
use super::{BenchError, failed};

/// Sagas a second that the search begins with.
const FIRST_RATE: f64 = 1_000.0;
const FIRST_RATE_NAIVE: f64 = 100.0;
/// Sagas a second of a system that has little to do.
const QUIET_RATE: f64 = 200.0;

/// Engines of a system that is given all that it can do, and partitions of its topics.
const ENGINES: [u32; 2] = [1, 2];
const PARTITIONS: [i32; 4] = [1, 2, 4, 8];
const EVERYTHING: Offered = Offered::InFlight { sagas: 40_000, inflight: 2_000 };

/// How long each part takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuiteOptions {
    /// Each load; the figures are those of a minute.
    pub length: Duration,
}

/// What everything came to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Suite {
    /// Before the first load.
    pub machine_before: Machine,
    /// Behind the last one.
    pub machine_after: Machine,
    /// The machine gave a fifth more or less at the end: nothing here is comparable.
    pub has_drifted: bool,
    /// What each engine holds.
    pub capacities: Vec<Capacity>,
    /// Sagabus with little to do, and at 10 to 90 % of what it holds.
    pub loads: Vec<Report>,
    /// Every other case, at half of what it holds.
    pub cases: Vec<Report>,
    /// All that it can, on one and two engines, with one to eight partitions a topic.
    pub widths: Vec<Report>,
    /// What a saga costs by how full batches are, fitted to `loads` and `widths`.
    pub model: Option<Model>,
}

impl Suite {
    /// Writes `bench.json` and the pictures into a folder, which is made.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), BenchError> {
        let files = [
            ("bench.json", serde_json::to_string_pretty(self).map_err(failed("write as JSON"))?),
            ("latency.svg", latency_by_load(&self.loads).map_err(failed("draw latencies"))?),
            ("cpu.svg", cpu_by_load(&self.loads).map_err(failed("draw CPU"))?),
        ];
        std::fs::create_dir_all(folder).map_err(failed("make a folder"))?;
        let mut written = files.iter().map(|(name, text)| std::fs::write(folder.join(name), text));
        written.try_for_each(|written| written).map_err(failed("write what was measured"))
    }
}

/// Measures everything. `told` hears of each load that has ended.
///
/// # Errors
/// Kafka or Postgres is not there, or an engine does not start.
pub async fn suite(
    places: &Places,
    options: &SuiteOptions,
    program: &Path,
    told: impl Fn(&Report),
) -> Result<Suite, BenchError> {
    let measured = || async {
        let machine = tokio::task::spawn_blocking(Machine::measured).await.map_err(failed("measure the machine"))?;
        machine.map_err(failed("measure the machine"))
    };
    let machine_before = measured().await?;
    let success = Case::ALL[0];
    let length = options.length;
    let naive = {
        let mut stage = Stage::set(places, program, (success, EngineKind::Naive), Width::USUAL).await?;
        warm_up(&mut stage).await?;
        capacity(&mut stage, (FIRST_RATE_NAIVE, length)).await?
    };
    let mut stage = Stage::set(places, program, (success, EngineKind::Sagabus), Width::USUAL).await?;
    warm_up(&mut stage).await?;
    let ours = capacity(&mut stage, (FIRST_RATE, length)).await?;
    let held = ours.sagas_per_second;
    let mut loads = Vec::new();
    for rate in [QUIET_RATE].into_iter().chain((1..=9).map(|tenths| held * f64::from(tenths) / 10.0)) {
        let offered = Offered::Rate { rate: rate.max(1.0), length, spread: Spread::Poisson };
        let report = measure(&mut stage, offered, None).await?;
        told(&report);
        loads.push(report);
    }
    drop(stage);
    let mut cases = Vec::new();
    for case in Case::ALL.into_iter().skip(1) {
        let offered = Offered::Rate { rate: (held / 2.0).max(1.0), length, spread: Spread::Poisson };
        let report = run(places, &BenchOptions::of(case, Width::USUAL, offered), program).await?;
        told(&report);
        cases.push(report);
    }
    let mut widths = Vec::new();
    for (engines, partitions) in
        ENGINES.into_iter().flat_map(|engines| PARTITIONS.map(|partitions| (engines, partitions)))
    {
        let width = Width { engines, partitions };
        let report = run(places, &BenchOptions::of(success, width, EVERYTHING), program).await?;
        told(&report);
        widths.push(report);
    }
    let model = Model::fitted(loads.iter().chain(&widths));
    let machine_after = measured().await?;
    let has_drifted = !machine_after.agrees(machine_before);
    Ok(Suite { machine_before, machine_after, has_drifted, capacities: vec![ours, naive], loads, cases, widths, model })
}
