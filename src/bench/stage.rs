//! Everything that a run needs: topics, schema, definition, engines in processes of their own, participants, a generator.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use crate::bus::KafkaSettings;
use crate::definition::read_folder;
use crate::operations::{self, Places};
use crate::store::migrate;

use super::case::Case;
use super::figures::Watch;
use super::load::Load;
use super::participants::answer;
use super::{BenchError, failed};

/// How wide a system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    /// Engines of one group, a process each.
    pub engines: u32,
    /// Partitions of each topic.
    pub partitions: i32,
}

impl Width {
    /// What is measured where nothing else is said.
    pub const USUAL: Self = Self { engines: 1, partitions: 4 };
}

/// Which engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Sagabus.
    Sagabus,
    /// The textbook design: a transaction for each message (`naive`).
    Naive,
}

impl EngineKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sagabus => "sagabus",
            Self::Naive => "naive",
        }
    }
}

/// An engine's process, and how it is started. It ends with this.
#[derive(Debug)]
pub(super) struct Engine {
    command: Command,
    child: Child,
}

impl Engine {
    /// Whether its process is there.
    fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn start(mut command: Command) -> std::io::Result<Self> {
        let child = command.spawn()?;
        Ok(Self { command, child })
    }

    fn kill(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }

    /// Kills it without a warning, and starts it again at once under its name.
    pub(super) fn strike(&mut self) {
        self.kill();
        match self.command.spawn() {
            Ok(child) => self.child = child,
            Err(error) => tracing::error!(%error, "the engine does not start again"),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A stage that is set. What it started ends with it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) load: Option<Load>,
    pub(super) watch: Watch,
    pub(super) case: Case,
    pub(super) kind: EngineKind,
    engines: Arc<Mutex<Vec<Engine>>>,
    pub(super) width: Width,
    folder: PathBuf,
    stop: Arc<AtomicBool>,
    answering: Option<JoinHandle<()>>,
}

impl Stage {
    /// Sets the stage. `program` is this binary: each engine runs as a process of its own, so that its CPU is told apart.
    ///
    /// # Errors
    /// Kafka or Postgres is not there, or the engine does not start.
    pub(super) async fn set(
        places: &Places,
        program: &Path,
        (case, kind): (Case, EngineKind),
        width: Width,
    ) -> Result<Self, BenchError> {
        let name = format!("bench-{}", crate::engine::wall_clock().micros() / 1_000_000);
        let url = places.database_url().map_err(failed("find the database"))?;
        let kafka = places.kafka(None).map_err(failed("find Kafka"))?.for_group(&name);
        migrate(url).await.map_err(failed("migrate the schema"))?;
        let folder = write_definition(&name, case).map_err(failed("write the definition"))?;
        let plans = read_folder(&folder).map_err(failed("read the definition"))?;
        let needs = operations::needs_of(plans.iter().map(|(_, plan)| plan));
        operations::ensure(places, &needs, width.partitions).await.map_err(failed("make topics"))?;
        let load = Load::new(&kafka, &name, case).map_err(failed("make Kafka clients"))?;
        let watch = Watch::connect(url).await.map_err(failed("reach the database"))?;
        let mut engines = Vec::new();
        for number in 1..=width.engines {
            let engine = Engine::start(engine_command(places, program, &folder, (&name, number, kind)));
            engines.push(engine.map_err(failed("start an engine"))?);
        }
        let engines = Arc::new(Mutex::new(engines));
        let stop = Arc::new(AtomicBool::new(false));
        let answering = spawn_participants(kafka.for_group(&format!("{name}-services")), &name, Arc::clone(&stop));
        let answering = Some(answering.map_err(failed("start a thread"))?);
        Ok(Self { load: Some(load), watch, case, kind, engines, width, folder, stop, answering })
    }

    /// The engines.
    pub(super) fn engines(&self) -> Arc<Mutex<Vec<Engine>>> {
        Arc::clone(&self.engines)
    }

    /// Whether every engine's process is there.
    pub(super) fn all_live(&self) -> bool {
        locked(&self.engines).iter_mut().all(Engine::lives)
    }

    /// The numbers of the engines' processes.
    pub(super) fn processes(&self) -> Vec<u32> {
        locked(&self.engines).iter().map(|engine| engine.child.id()).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(answering) = self.answering.take() {
            _ = answering.join();
        }
        locked(&self.engines).clear();
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn write_definition(name: &str, case: Case) -> std::io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("bench.saga.yaml"), case.definition(name))?;
    Ok(folder)
}

/// The engines, for oneself.
pub(super) fn locked(engines: &Mutex<Vec<Engine>>) -> MutexGuard<'_, Vec<Engine>> {
    engines.lock().expect("nobody panics with the engines in hand")
}

fn engine_command(
    places: &Places,
    program: &Path,
    folder: &Path,
    (name, number, kind): (&str, u32, EngineKind),
) -> Command {
    let mut command = Command::new(program);
    match kind {
        EngineKind::Sagabus => {
            command.args(["serve", "--dev", "--from", "earliest", "--instance"]).arg(format!("{name}-{number}"))
        }
        EngineKind::Naive => command.args(["bench", "naive"]),
    };
    command.args(["--group", name, "--definitions"]).arg(folder);
    command.args(["--kafka", places.kafka.as_deref().unwrap_or_default()]);
    command.env("SAGABUS_DATABASE_URL", places.database_url.as_deref().unwrap_or_default()).env("SAGABUS_LOG", "error");
    command.env_remove("SAGABUS_LISTEN").stdout(Stdio::null());
    command
}

fn spawn_participants(kafka: KafkaSettings, name: &str, stop: Arc<AtomicBool>) -> std::io::Result<JoinHandle<()>> {
    let topics: Vec<String> = (1..=5).map(|n| format!("{name}.s{n}")).collect();
    let work = move || {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        if let Err(error) = answer(&kafka, &topics, &stop) {
            tracing::error!(%error, "participants ended");
        }
    };
    std::thread::Builder::new().name("participants".to_owned()).spawn(work)
}
