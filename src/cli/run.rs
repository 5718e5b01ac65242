//! One arm a verb: operations do the work, output prints it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::api::Listener;
use crate::core::Phase;
use crate::definition::{json_schema, lint_files, read_folder};
use crate::engine::Stop;
use crate::operations::{self, Exit, Failure, Places, ServeOptions};

use super::arguments::{
    Arguments, DefinitionsVerb, OutputFormat, SagaArguments, ServeArguments, StartArguments, TopicsVerb, Verb,
};
use super::reach::Reach;
use super::{input, output, render};

/// Does what the command line says.
pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let places = Places {
        kafka: arguments.places.kafka,
        database_url: arguments.places.database_url,
        group: arguments.places.group,
        kafka_properties: arguments.places.kafka_property,
        issuer: None,
    };
    let who = arguments.who.unwrap_or_else(system_user);
    // Not before a verb asks: a profile may have to run a command for its token.
    let server = arguments.server;
    let reach = || Reach::new(places, &server);
    match arguments.verb {
        Verb::Serve(serve) => run_serve(reach()?.places("serve")?, serve).await,
        Verb::Dev(dev) => super::dev::run(dev).await,
        Verb::Bench(bench) => super::bench::run(reach()?.places("bench")?, bench).await,
        Verb::Migrate => {
            let version = crate::store::migrate(reach()?.places("migrate")?.database_url()?).await?;
            output::note(&format!("the schema is at version {version}"));
            Ok(ExitCode::SUCCESS)
        }
        Verb::Definitions(DefinitionsVerb::Lint { files, output: format }) => {
            let report = lint_files(&files);
            match format.output {
                OutputFormat::Json => output::json(&report.findings),
                OutputFormat::Table if report.is_empty() => output::note("nothing is wrong"),
                OutputFormat::Table => output::note(&report.render(output::is_colored())),
            }
            Ok(if report.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Exit::InvalidDefinition as u8) })
        }
        Verb::Schema => {
            output::print(json_schema().trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Verb::Topics(verb) => topics(reach()?.places("topics")?, verb, &who).await,
        Verb::Start(start) => run_start(&reach()?, start).await,
        Verb::See(verb) => super::see::run(&reach()?, verb, &who).await,
        Verb::Live(verb) => super::live::run(&reach()?, verb).await,
        Verb::Show(show) => run_show(&reach()?, show, &who).await,
        Verb::Replay(verb) => super::replay::run(reach()?.places("replay")?, verb, &who).await,
        Verb::Parked(verb) => super::parked::run(&reach()?, verb, &who).await,
        Verb::Dlq(verb) => super::dlq::run(reach()?.places("dlq")?, verb, &who).await,
        Verb::Repair(verb) => super::repair::run(&reach()?, verb, &who).await,
        Verb::Bulk(verb) => super::bulk::run(&reach()?, verb, &who).await,
        Verb::Verify(verify) => super::checks::verify(reach()?.places("verify")?, verify).await,
        Verb::Audit(verb) => super::audit::run(&reach()?, verb).await,
        Verb::Retention(verb) => super::retention::run(&reach()?, verb, &who).await,
        Verb::Hold(verb) => super::hold::run(&reach()?, verb, &who).await,
        Verb::Tokens(verb) => super::tokens::run(&reach()?, verb, &who).await,
        Verb::Participant(verb) => super::participant::run(reach()?.places("participant")?, verb).await,
        Verb::Completions { shell } => Ok(super::manual::completions(shell)),
        Verb::Man { to } => super::manual::pages(&to),
    }
}

async fn run_serve(places: &Places, arguments: ServeArguments) -> Result<ExitCode, Failure> {
    let places = &Places { issuer: arguments.login.issuer()?, ..places.clone() };
    let metrics = crate::api::install_metrics().map_err(|error| Failure::new(Exit::Failed, error, ""))?;
    let listener = match arguments.listen {
        Some(address) => Some(Listener::bind(address, places).await?),
        None => None,
    };
    let options = ServeOptions {
        definitions: arguments.definitions,
        instance: arguments.instance,
        from: arguments.from,
        dev: arguments.dev,
        allow_plaintext: arguments.allow_plaintext,
        verify_every: arguments.verify_every,
        retention_keep: arguments.retention.keep,
        retention_period: arguments.retention.period.period,
    };
    let stop = Arc::new(Stop::default());
    let beside = |health| {
        let stop = Arc::clone(&stop);
        async move {
            let http = async {
                match listener {
                    Some(listener) => listener.serve(health, metrics).await,
                    None => std::future::pending().await,
                }
            };
            tokio::join!(http, on_signal(stop));
        }
    };
    operations::serve(places, &options, &stop, beside).await?;
    Ok(ExitCode::SUCCESS)
}

/// A drain that takes longer is cut off: what is not done is done by whoever takes over, and supervisors kill what does not end.
const DRAIN_AT_MOST: Duration = Duration::from_millis(9_500);

/// The first signal asks to drain, the second one ends at once.
pub(super) async fn on_signal(stop: Arc<Stop>) {
    signal().await;
    tracing::info!("stopping: finishing what is in hand");
    stop.request();
    tokio::select! {
        () = signal() => {
            tracing::warn!("stopping at once");
            std::process::exit(130);
        }
        () = tokio::time::sleep(DRAIN_AT_MOST) => {
            tracing::warn!("not drained in time: whoever takes over goes on");
            std::process::exit(1);
        }
    }
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signals) => _ = signals.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

async fn topics(places: &Places, verb: TopicsVerb, who: &str) -> Result<ExitCode, Failure> {
    match verb {
        TopicsVerb::Ensure { definitions, partitions } => {
            let found = read_folder(&definitions)?;
            let needs = operations::needs_of(found.iter().map(|(_, plan)| plan));
            let made = operations::ensure(places, &needs, partitions).await?;
            for name in &made {
                output::print(name);
            }
            output::note(&format!("{} topics made, {} were there", made.len(), needs.len() - made.len()));
            Ok(ExitCode::SUCCESS)
        }
        TopicsVerb::Diff { definitions } => {
            let found = read_folder(&definitions)?;
            let needs = operations::needs_of(found.iter().map(|(_, plan)| plan));
            let mut differs = false;
            for topic in operations::diff(places, &needs).await? {
                differs |= !topic.differences.is_empty();
                let state =
                    if topic.differences.is_empty() { "as needed".to_owned() } else { topic.differences.join("; ") };
                output::print(&format!("{}  {state}", topic.need.name));
            }
            Ok(ExitCode::from(u8::from(differs)))
        }
        TopicsVerb::Seek { partition: (topic, partition), to, reason } => {
            let offset = operations::seek(places, &topic, partition, to, who, &reason).await?;
            output::note(&format!("{topic}/{partition} goes on at offset {offset}"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn run_start(reach: &Reach, arguments: StartArguments) -> Result<ExitCode, Failure> {
    let data = input::file_or_text(arguments.data);
    let (business_key, id) = reach.start(&arguments.name, &data, arguments.key.as_deref()).await?;
    let phase = match arguments.wait {
        None => None,
        Some(at_most) => Some(reach.wait_for_end(&arguments.name, (&business_key, id), at_most).await),
    };
    match arguments.output.output {
        OutputFormat::Table => output::print(&id.to_string()),
        OutputFormat::Json => {
            let phase = phase.as_ref().and_then(|phase| phase.as_ref().ok()).map(|phase| phase.name());
            output::json(&serde_json::json!({"id": id, "businessKey": business_key, "phase": phase}));
        }
    }
    match phase.transpose()? {
        None | Some(Phase::Completed) => Ok(ExitCode::SUCCESS),
        Some(other) => {
            output::note(&format!("{business_key} is {other}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn run_show(reach: &Reach, arguments: SagaArguments, who: &str) -> Result<ExitCode, Failure> {
    let looking = reach.looking().await?;
    let one = reach.revealed(looking.one(&arguments.one).await?, &arguments.reveal, who).await?;
    let format = arguments.output.output;
    let seen = looking.show(one, arguments.times.format_of(format)).await?;
    output::one(format, &seen.what, |shown| render::saga(shown, arguments.times.seen_from(seen.now)));
    Ok(ExitCode::SUCCESS)
}

/// The name of the user, as the system knows it.
fn system_user() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()
        .map_or_else(|| "unknown".to_owned(), |user| user.name)
}
