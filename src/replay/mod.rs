//! Reads journals back: folds them, compares them with what is stored, decides their inputs again. Reads only: no producer is in
//! reach of this ring, and a test shows it.

mod check;
mod file;
mod order;
mod recorded;
mod run;
mod verify;

pub use check::Findings;
pub use check::check;
pub use file::Export;
pub use file::ExportWriter;
pub use file::Exported;
pub use file::read;
pub use run::Difference;
pub use run::run;
pub use run::run_with;
pub use verify::verify;

use crate::core::Transition;

/// Decodes journal rows.
///
/// # Errors
/// A row that this version cannot read, with its place.
pub fn decode<'a>(rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Transition>, String> {
    rows.enumerate()
        .map(|(place, facts)| Transition::decode(facts).map_err(|error| format!("row {}: {error}", place + 1)))
        .collect()
}
