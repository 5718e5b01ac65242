//! The demonstration: starts everything, begins a trickle of sagas, shows them, and ends clean.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use crate::bus::{From, KafkaBus, KafkaSettings, Producer};
use crate::core::Sha256;
use crate::definition::Compiled;
use crate::engine::{Engine, Health, Settings, Stop, SystemClock, wall_clock};
use crate::operations::needs_of;
use crate::participant::Service;
use crate::store::{Console, DefinitionRow, PostgresStore, migrate};
use crate::wire;

use super::cluster::Cluster;
use super::examples::{key, load, trigger_data};
use super::postgres::PrivatePostgres;
use super::samples::{Samples, create_ledger};
use super::summary::{Picture, look};
use super::view::View;

const DATABASE_CREATE: &str = include_str!("sql/database_create.sql");
/// Between two sagas of the trickle, and of a counted run.
const TRICKLE: Duration = Duration::from_millis(400);
const QUICK: Duration = Duration::from_millis(50);
/// How often the picture is taken.
const LOOK: Duration = Duration::from_millis(250);
/// A counted run ends within this.
const ONCE_WITHIN: Duration = Duration::from_secs(60);

/// What the demonstration is told.
#[derive(Clone, Debug, Default)]
pub struct DevOptions {
    /// Run so many sagas and end.
    pub once: Option<usize>,
    /// Plain lines, also on a terminal.
    pub plain: bool,
}

impl DevOptions {
    /// True when a terminal is drawn on: then nothing else may write to it.
    pub fn is_live(&self) -> bool {
        !self.plain && self.once.is_none() && std::io::stdout().is_terminal()
    }
}

/// Why the demonstration did not run.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}: {message}")]
pub struct DevError {
    /// What was attempted.
    pub attempted: &'static str,
    /// Why it failed.
    pub message: String,
}

fn failed<E: std::fmt::Display>(attempted: &'static str) -> impl Fn(E) -> DevError {
    move |error| DevError { attempted, message: error.to_string() }
}

/// Everything that runs.
struct Stage {
    postgres: PrivatePostgres,
    _cluster: Cluster,
    kafka: KafkaSettings,
    console: Console,
    ledger: PgConnection,
    plans: BTreeMap<Sha256, Arc<Compiled>>,
    stop: Arc<Stop>,
    services_stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    health: Arc<Health>,
}

/// Runs the demonstration until `stop` is requested, or so many sagas have ended. `beside` runs along (HTTP), and is given the engine's database. True when everything
/// ended as it should and the ledger balances.
///
/// # Errors
/// Something did not start.
pub async fn run<F: Future<Output = ()>>(
    options: &DevOptions,
    stop: Arc<Stop>,
    beside: impl FnOnce(Arc<Health>, String) -> F,
) -> Result<bool, DevError> {
    let mut stage = Stage::build(Arc::clone(&stop)).await?;
    let beside = beside(Arc::clone(&stage.health), stage.postgres.url("sagabus"));
    let outcome = tokio::select! {
        outcome = stage.play(options) => outcome,
        () = beside => Ok(false),
    };
    stage.clear();
    outcome
}

impl Stage {
    async fn build(stop: Arc<Stop>) -> Result<Self, DevError> {
        let examples = load().map_err(failed("compile the examples"))?;
        let topics: Vec<String> =
            needs_of(examples.iter().map(|(_, plan)| plan)).into_iter().map(|need| need.name).collect();
        let postgres = PrivatePostgres::start().await.map_err(failed("start a private Postgres"))?;
        let cluster = Cluster::start(&topics).map_err(failed("start the broker inside librdkafka"))?;
        let kafka = KafkaSettings::new(&cluster.servers(), "sagabus", None);
        let (engine_url, services_url) = (postgres.url("sagabus"), postgres.url("services"));
        let database = failed("make the databases");
        let mut admin = PgConnection::connect(&postgres.url("postgres")).await.map_err(&database)?;
        for statement in DATABASE_CREATE.lines().filter(|line| !line.starts_with("--")) {
            sqlx::query(statement).execute(&mut admin).await.map_err(&database)?;
        }
        migrate(&engine_url).await.map_err(failed("migrate the schema"))?;
        let mut ledger = PgConnection::connect(&services_url).await.map_err(&database)?;
        crate::participant::apply(&mut ledger).await.map_err(&database)?;
        create_ledger(&mut ledger).await.map_err(&database)?;
        let console = Console::connect(&engine_url).await.map_err(failed("reach the database"))?;
        let rows: Vec<DefinitionRow> = examples
            .iter()
            .map(|(source, plan)| {
                let definition = plan.definition();
                let (hash, name, version) = (definition.hash, Arc::clone(&definition.name), definition.version);
                DefinitionRow { hash, name, version, body: source.body() }
            })
            .collect();
        console.deploy(&rows, true).await.map_err(failed("deploy the examples"))?;
        let services_stop = Arc::new(AtomicBool::new(false));
        let command_topics = examples
            .iter()
            .flat_map(|(_, plan)| plan.definition().commanding())
            .map(|step| step.command_topic.to_string());
        let services = spawn_services(&kafka, command_topics.collect(), services_url, Arc::clone(&services_stop))?;
        let (engine, health) = spawn_engine(&kafka, &engine_url, Arc::clone(&stop))?;
        let plans = examples.into_iter().map(|(_, plan)| (plan.definition().hash, Arc::new(plan))).collect();
        let threads = vec![engine, services];
        Ok(Self { postgres, _cluster: cluster, kafka, console, ledger, plans, stop, services_stop, threads, health })
    }

    /// Begins sagas and shows them.
    async fn play(&mut self, options: &DevOptions) -> Result<bool, DevError> {
        let mut producer = Producer::new(&self.kafka).map_err(failed("make a producer"))?;
        let mut view = View::open(options, self.hint());
        let (mut begun, mut next_at, mut look_at) = (0_usize, Instant::now(), Instant::now());
        let until = Instant::now() + ONCE_WITHIN;
        let order: Vec<Arc<Compiled>> = self.plans.values().cloned().collect();
        while !self.stop.is_requested() && !view.wants_to_end() {
            let now = Instant::now();
            if now >= next_at && options.once.is_none_or(|count| begun < count) {
                next_at = now + if options.once.is_some() { QUICK } else { TRICKLE };
                let definition = order[begun % order.len()].definition();
                let (business_key, tag) = (key(begun), u64::try_from(begun).unwrap_or_default());
                let data = trigger_data(&business_key);
                let id = format!("demo-trigger-{begun}");
                let record = wire::new_trigger(
                    &definition.trigger_topic,
                    &business_key,
                    &definition.trigger_type,
                    &id,
                    "/sagabus/dev",
                    data,
                );
                producer.emit(tag, vec![record.at(wall_clock())]);
                begun += 1;
            }
            _ = producer.delivered();
            if now >= look_at {
                look_at = now + LOOK;
                let picture = look(&self.console, &mut self.ledger, &self.plans, begun)
                    .await
                    .map_err(failed("look at the sagas"))?;
                view.draw(&picture);
                let is_over =
                    options.once.is_some_and(|count| picture.ended() == count && picture.too_late_are_covered());
                if is_over || options.once.is_some() && now > until {
                    drop(view);
                    return Ok(finish(&picture, options.once.unwrap_or_default()));
                }
            }
            tokio::time::sleep(QUICK / 2).await;
        }
        Ok(true)
    }

    /// How to look inside from another terminal.
    fn hint(&self) -> String {
        let (kafka, database) = (&self.kafka.bootstrap, self.postgres.url("sagabus"));
        format!(
            "look inside: export SAGABUS_KAFKA={kafka} SAGABUS_DATABASE_URL={database}; sagabus list; sagabus show demo-0"
        )
    }

    fn clear(&mut self) {
        self.stop.request();
        self.services_stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            _ = thread.join();
        }
    }
}

/// Prints how the counted run ended.
fn finish(picture: &Picture, count: usize) -> bool {
    let problems = picture.problems(count);
    super::summary::print(picture, &problems);
    problems.is_empty()
}

fn thread(name: &str, work: impl FnOnce(tokio::runtime::Runtime) + Send + 'static) -> Result<JoinHandle<()>, DevError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed("make a runtime"))?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || work(runtime)).map_err(failed("start a thread"))
}

fn spawn_engine(kafka: &KafkaSettings, url: &str, stop: Arc<Stop>) -> Result<(JoinHandle<()>, Arc<Health>), DevError> {
    let bus = KafkaBus::connect(kafka).map_err(failed("make a Kafka client"))?;
    let store = PostgresStore::new(url).map_err(failed("read the database's address"))?;
    let settings = Settings { instance: None, from: From::Earliest, seed: u64::from(std::process::id()) };
    let mut engine = Engine::new(store, bus, SystemClock::start(), settings);
    let health = engine.health();
    let handle = thread("engine", move |runtime| {
        if let Err(error) = runtime.block_on(engine.run(&stop)) {
            tracing::error!(%error, "engine ended");
        }
    })?;
    Ok((handle, health))
}

fn spawn_services(
    kafka: &KafkaSettings,
    mut topics: Vec<String>,
    url: String,
    stop: Arc<AtomicBool>,
) -> Result<JoinHandle<()>, DevError> {
    topics.sort();
    topics.dedup();
    let kafka = kafka.for_group("sample-services");
    thread("services", move |runtime| {
        runtime.block_on(async {
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            let connected = Service::connect("sample", &kafka, &topics, &url, Samples::default()).await;
            let ended = match connected {
                Ok(mut service) => service.run(&stop).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::error!(%error, "sample services ended");
            }
        });
    })
}
