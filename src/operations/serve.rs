//! `serve`: checks, definitions, the engine, and what looks after them while it runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::bus::{From, KafkaBus, TopicNeed};
use crate::definition::{Compiled, Source, fingerprint, read_folder};
use crate::engine::{Engine, Health, Settings, Stop, SystemClock, wall_clock};
use crate::store::{Console, PostgresStore, check_schema};

use super::checks::{check, enforce};
use super::deploy::deploy;
use super::failure::{Exit, Failure};
use super::jobs;
use super::keep::{check_keep, held_by_topics};
use super::places::Places;
use super::retention::{RATE, RetentionOptions};
use super::retention_job;
use super::sampler;
use super::topics::needs_of;

/// How often the folder is looked at.
const WATCH: Duration = Duration::from_secs(2);

/// What `serve` is told.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The folder of definitions.
    pub definitions: PathBuf,
    /// A stable name.
    pub instance: Option<String>,
    /// Where trigger topics begin that were never read.
    pub from: Option<From>,
    /// Relaxes the start-up check, loudly; definitions may change without a new version.
    pub dev: bool,
    /// Allows unencrypted Kafka beyond this machine.
    pub allow_plaintext: bool,
    /// How often the online checks look at some sagas and all views; zero: never.
    pub verify_every: Duration,
    /// How long sagas are kept after their end; `None`: for ever.
    pub retention_keep: Option<Duration>,
    /// The time that one table of the journal is for.
    pub retention_period: Duration,
}

/// Runs an engine until `stop` is requested. `beside` runs along, and is given what others may know of the engine (HTTP is thin
/// over it).
///
/// # Errors
/// The check refuses, a definition is wrong, a place cannot be reached, or the engine ends.
pub async fn serve<F: Future<Output = ()>>(
    places: &Places,
    options: &ServeOptions,
    stop: &Stop,
    beside: impl FnOnce(Arc<Health>) -> F,
) -> Result<(), Failure> {
    let url = places.database_url()?;
    let found = read_folder(&options.definitions)?;
    check_schema(url).await?;
    let console = places.console().await?;
    check_and_deploy(places, &console, options, &found).await?;
    if let Some(keep) = options.retention_keep {
        check_keep(keep, held_by_topics(places.kafka(None)?, &console).await?.as_ref())?;
    }
    let bus = KafkaBus::connect(&places.kafka(options.instance.as_deref())?)?;
    let store = PostgresStore::new(url).map_err(|error| Failure::new(Exit::Usage, error.to_string(), ""))?;
    let seed = u64::try_from(wall_clock().micros()).unwrap_or_default() ^ u64::from(std::process::id());
    let instance = options.instance.as_deref().map(Arc::from);
    let settings = Settings { instance, from: options.from.unwrap_or(From::Earliest), seed };
    let mut engine = Engine::new(store, bus, SystemClock::start(), settings);
    let beside = beside(engine.health());
    // A task of its own, since it asks Kafka and compiles: it ends with this function.
    let mut watching = JoinSet::new();
    let sealing = console.clone();
    watching.spawn(watch(places.clone(), console, options.clone()));
    // So is the sealing of the audit.
    watching.spawn(super::chain::keep_sealing(sealing));
    // So are the online checks, which compute, and the work on jobs. Nobody waits for these: they may fail, and the engine goes on.
    let mut helpers = JoinSet::new();
    if !options.verify_every.is_zero() {
        helpers.spawn(sampler::run(url.to_owned(), options.verify_every));
    }
    helpers.spawn(jobs::work_on_jobs(url.to_owned()));
    helpers.spawn(retention_job::keep_beside(places.clone(), retention(options)));
    // The engine's future ends by itself and is never dropped before it does; what runs beside it ends with it.
    tokio::select! {
        ended = engine.run(stop) => Ok(ended?),
        () = async { tokio::join!(watching.join_next(), beside); } => Err(Failure::new(Exit::Failed, "what looks after the engine ended", "")),
    }
}

/// What the job beside this engine keeps and removes.
fn retention(options: &ServeOptions) -> RetentionOptions {
    RetentionOptions {
        keep: options.retention_keep,
        period: options.retention_period,
        rate: RATE,
        who: options.instance.clone().unwrap_or_else(|| "serve".to_owned()),
        reason: "--retention-keep".to_owned(),
    }
}

/// Deploys the folder anew when it changes. A broken set leaves the old one active, and says so; so does one whose trigger topic holds
/// records and was never read, when nobody says where to begin.
async fn watch(places: Places, console: Console, options: ServeOptions) {
    let mut seen = fingerprint(&options.definitions);
    loop {
        tokio::time::sleep(WATCH).await;
        let now = fingerprint(&options.definitions);
        if now == seen {
            continue;
        }
        match deploy_again(&places, &console, &options).await {
            Ok(()) => seen = now,
            Err(failure) if matches!(failure.exit, Exit::InvalidDefinition | Exit::Refused) => {
                tracing::error!(error = %failure, "new definitions are refused, the old ones stay active");
                seen = now;
            }
            Err(failure) => tracing::warn!(error = %failure, "definitions not deployed yet"),
        }
    }
}

async fn deploy_again(places: &Places, console: &Console, options: &ServeOptions) -> Result<(), Failure> {
    check_and_deploy(places, console, options, &read_folder(&options.definitions)?).await
}

/// Nothing is deployed that the start-up check refuses.
async fn check_and_deploy(
    places: &Places,
    console: &Console,
    options: &ServeOptions,
    found: &[(Source, Compiled)],
) -> Result<(), Failure> {
    let needs: Vec<TopicNeed> = needs_of(found.iter().map(|(_, plan)| plan));
    if options.dev {
        let made = super::topics::ensure(places, &needs, 4).await?;
        if !made.is_empty() {
            tracing::warn!(topics = made.join(" "), "topics made, because of --dev");
        }
    }
    enforce(&check(places, console, options, &needs).await?, options.dev)?;
    deploy(console, found, options.dev).await
}
