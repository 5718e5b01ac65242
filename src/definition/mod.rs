//! A definition file becomes a checked definition: YAML, expressions, schemas, lint.
//!
//! ```text
//! file --read--> Source --load--> Compiled (core::Definition, templates, schemas), or a Report of everything that is wrong
//! ```
//! A `Source` is self-contained text: it is what Postgres keeps, so that a running saga never needs the folder again.

mod check;
mod compile;
mod compiled;
mod duration;
mod expression;
mod file;
mod folder;
mod graph;
mod mask;
mod messages;
mod policies;
mod report;
mod shape;
mod source;
mod step_file;
mod steps;
mod template;

pub use check::did_you_mean;
pub use compiled::Compiled;
pub use compiled::TriggerMatch;
pub use duration::parse as parse_duration;
pub use file::json_schema;
pub use folder::fingerprint;
pub use folder::lint_files;
pub use folder::read_folder;
pub use mask::MASKED;
pub use mask::Mask;
pub use report::Finding;
pub use report::Report;
pub use source::Source;
