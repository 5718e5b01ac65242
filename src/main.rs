//! Parses the command line and calls one function.

use std::process::ExitCode;

fn main() -> ExitCode {
    sagabus::cli::main()
}
