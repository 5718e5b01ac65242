//! What is read besides the command line: a file that is named, or standard input.

use std::io::Read as _;
use std::path::Path;

use crate::operations::{Exit, Failure};

/// What the file holds that a flag names; `-` is standard input.
///
/// # Errors
/// It cannot be read (exit 2).
pub(super) fn bytes(flag: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().read_to_end(&mut bytes).map(|_| bytes),
        Some(_) | None => std::fs::read(file),
    };
    read.map_err(|error| Failure::new(Exit::Usage, format!("{flag} {}: {error}", file.display()), ""))
}

/// As `bytes`, as text.
///
/// # Errors
/// It cannot be read, or is no text (exit 2).
pub(super) fn text(flag: &str, file: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes(flag, file)?)
        .map_err(|_| Failure::new(Exit::Usage, format!("{flag} {}: is not UTF-8", file.display()), ""))
}

/// The text of the file that is named, or what is said itself.
pub(super) fn file_or_text(said: String) -> String {
    std::fs::read_to_string(&said).unwrap_or(said)
}
