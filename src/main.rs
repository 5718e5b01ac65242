//! Parses the command line and calls one function.

use std::process::ExitCode;

/// A third of the engine's time went into the C library's allocator: records are made on one thread and dropped on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sagabus::cli::main()
}
