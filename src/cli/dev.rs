//! `sagabus dev`.

use std::process::ExitCode;
use std::sync::Arc;

use crate::api::Listener;
use crate::dev::{self, DevOptions};
use crate::engine::Stop;
use crate::operations::{Exit, Failure, Places};

use super::arguments::DevArguments;
use super::run::on_signal;

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
