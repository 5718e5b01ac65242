//! The command line: thin over `operations`. Data go to standard output, everything else to standard error.

mod arguments;
mod audit;
mod bench;
mod bulk;
mod checks;
mod consent;
mod dev;
mod dlq;
mod hold;
mod input;
mod live;
mod login;
mod manual;
mod output;
mod parked;
mod participant;
mod reach;
pub mod render;
mod repair;
mod replay;
mod retention;
mod reveal;
mod run;
mod see;
mod selection;
mod sweep;
mod tokens;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Verb};

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to(log_file(&arguments.verb));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run::run(arguments));
            // A question to an unreachable broker may still be waiting on a thread of its own.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(crate::operations::Failure::new(crate::operations::Exit::Failed, error.to_string(), "")),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Where logs go while a terminal is drawn on.
fn log_file(verb: &Verb) -> Option<std::fs::File> {
    if let Verb::Dev(dev) = verb {
        return dev::log_file(dev);
    }
    if let Verb::Live(live) = verb { live.log_file() } else { None }
}

/// Logs go to standard error, or to a file while a terminal is drawn on.
fn log_to(file: Option<std::fs::File>) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("SAGABUS_LOG").unwrap_or_else(|_| "info".into());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match file {
        Some(file) => logs.with_ansi(false).with_writer(file).init(),
        None => logs.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).init(),
    }
}
