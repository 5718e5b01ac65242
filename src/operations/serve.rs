//! `serve`: checks, definitions, the engine, and what looks after them while it runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::bus::{From, KafkaBus, TopicNeed};
use crate::core::Sha256;
use crate::definition::{Compiled, read_folder};
use crate::engine::{Engine, Health, Settings, Stop, SystemClock, wall_clock};
use crate::store::{Console, PostgresStore, check_schema};

use super::checks::{check, enforce};
use super::deploy::deploy_folder;
use super::failure::{Exit, Failure};
use super::places::Places;
use super::topics::needs_of;

/// How often the folder is looked at.
const WATCH: Duration = Duration::from_secs(2);

/// What `serve` is told.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The folder of definitions.
    pub definitions: PathBuf,
    /// Where `/healthz`, `/readyz` and `/metrics` answer.
    pub listen: Option<SocketAddr>,
    /// A stable name.
    pub instance: Option<String>,
    /// Where trigger topics begin that were never read.
    pub from: Option<From>,
    /// Relaxes the start-up check, loudly; definitions may change without a new version.
    pub dev: bool,
    /// Allows unencrypted Kafka beyond this machine.
    pub allow_plaintext: bool,
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
    let plans: Vec<Compiled> = found.into_iter().map(|(_, compiled)| compiled).collect();
    check_schema(url).await?;
    let console = places.console().await?;
    let needs: Vec<TopicNeed> = needs_of(plans.iter());
    if options.dev {
        let made = super::topics::ensure(places, &needs, 4).await?;
        if !made.is_empty() {
            tracing::warn!(topics = made.join(" "), "topics made, because of --dev");
        }
    }
    enforce(&check(places, &console, options, &needs).await?, options.dev)?;
    deploy_folder(&console, &options.definitions, options.dev).await?;
    let bus = KafkaBus::connect(&places.kafka(options.instance.as_deref())?)?;
    let store = PostgresStore::new(url).map_err(|error| Failure::new(Exit::Usage, error.to_string(), ""))?;
    let seed = u64::try_from(wall_clock().micros()).unwrap_or_default() ^ u64::from(std::process::id());
    let instance = options.instance.as_deref().map(Arc::from);
    let settings = Settings { instance, from: options.from.unwrap_or(From::Earliest), seed };
    let mut engine = Engine::new(store, bus, SystemClock::start(), settings);
    let beside = beside(engine.health());
    // The engine's future ends by itself and is never dropped before it does; what runs beside it ends with it.
    tokio::select! {
        ended = engine.run(stop) => Ok(ended?),
        () = async { tokio::join!(watch(&console, options), beside); } => Err(Failure::new(Exit::Failed, "what looks after the engine ended", "")),
    }
}

/// Deploys the folder anew when it changes. A broken set leaves the old one active, and says so.
async fn watch(console: &Console, options: &ServeOptions) {
    let mut seen = fingerprint(&options.definitions);
    loop {
        tokio::time::sleep(WATCH).await;
        let now = fingerprint(&options.definitions);
        if now == seen {
            continue;
        }
        match deploy_folder(console, &options.definitions, options.dev).await {
            Ok(_) => seen = now,
            Err(failure) if failure.exit == Exit::InvalidDefinition => {
                tracing::error!(error = %failure, "new definitions are wrong, the old ones stay active");
                seen = now;
            }
            Err(failure) => tracing::warn!(error = %failure, "definitions not deployed yet"),
        }
    }
}

/// Changes when a file of the folder or of the schemas beside it does.
fn fingerprint(folder: &Path) -> Option<Sha256> {
    let found = read_folder(folder);
    match found {
        Ok(found) => {
            let mut text: Vec<String> = found.iter().map(|(source, _)| source.hash().to_string()).collect();
            text.sort();
            Some(Sha256::of(text.join(" ").as_bytes()))
        }
        Err(report) => Some(Sha256::of(report.to_string().as_bytes())),
    }
}
