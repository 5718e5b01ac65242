//! `sagabus dev`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use crate::api::Listener;
use crate::dev::{self, DevOptions};
use crate::engine::Stop;
use crate::operations::{Exit, Failure, Places};

use super::run::on_signal;

#[derive(Clone, Debug, Args)]
pub(super) struct DevArguments {
    /// Run this many sagas, print a line for each and a summary, check the ledger, and end.
    #[arg(long, value_name = "N")]
    pub(super) once: Option<usize>,
    /// Plain lines instead of the live view, also on a terminal.
    #[arg(long)]
    pub(super) plain: bool,
    /// Where HTTP answers: /v1 and /openapi.json; /healthz, /readyz, /metrics. On this machine alone.
    #[arg(long, env = "SAGABUS_LISTEN", value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
}

fn options(arguments: &DevArguments) -> DevOptions {
    DevOptions { once: arguments.once, plain: arguments.plain }
}

/// Where the live view's logs go: `sagabus-dev.log` in the folder for temporary files.
pub(super) fn log_file(dev: &DevArguments) -> Option<std::fs::File> {
    let path = std::env::temp_dir().join("sagabus-dev.log");
    if options(dev).is_live() { std::fs::File::create(path).ok() } else { None }
}

/// Runs the demonstration.
pub(super) async fn run(arguments: DevArguments) -> Result<ExitCode, Failure> {
    let metrics = crate::api::install_metrics().map_err(|error| Failure::new(Exit::Failed, error, ""))?;
    let options = options(&arguments);
    let stop = Arc::new(Stop::default());
    let listen = arguments.listen;
    let beside = |health, database_url| {
        let stop = Arc::clone(&stop);
        let places = Places { database_url: Some(database_url), ..Places::default() };
        async move {
            let http = async {
                let Some(address) = listen else { return std::future::pending().await };
                match Listener::bind(address, &places).await {
                    Ok(listener) => listener.serve(health, metrics).await,
                    Err(error) => {
                        // Everything else goes on without it.
                        tracing::error!(%address, %error, "cannot listen");
                        std::future::pending().await
                    }
                }
            };
            tokio::join!(http, on_signal(stop));
        }
    };
    match dev::run(&options, Arc::clone(&stop), beside).await {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Err(Failure::new(
            Exit::Failed,
            "the demonstration did not end as it should",
            "the lines marked WRONG say why",
        )),
        Err(error) => Err(Failure::new(Exit::Failed, error.to_string(), "")),
    }
}
