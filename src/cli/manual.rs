//! Completions for shells, and manual pages, made from what the command line says of itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::operations::{Exit, Failure};

use super::arguments::Arguments;
use super::output;

/// Completions for one shell, on standard output.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "sagabus", &mut script);
    output::print(String::from_utf8_lossy(&script).trim_end());
    ExitCode::SUCCESS
}

/// A manual page for every verb, as files in a folder: sagabus.1, sagabus-replay-run.1 and so on.
///
/// # Errors
/// They cannot be written.
pub(super) fn pages(folder: &Path) -> Result<ExitCode, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("{}: {error}", folder.display()), "");
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), folder).map_err(failed)?;
    output::note(&format!("man -l {}", PathBuf::from(folder).join("sagabus.1").display()));
    Ok(ExitCode::SUCCESS)
}
