//! The participant kit: plays Sagabus against a running participant, and says which corner of the contract it breaks (CONTRACT.md
//! section 7).
//!
//! ```text
//! case: script and judge, data --stage--> commands out, answers in --> Course: what came --judge--> Judged --> a row of the Report
//! ```
//! Scripts, courses and judges are pure; only `stage` and `shell` touch the world. The kit keeps no state: every run has sagas of
//! its own, so a participant may be tested again and again.

mod cases;
mod course;
mod judge;
mod junit;
mod report;
mod rule;
mod run;
mod script;
mod shell;
mod stage;
mod target;

pub use report::Report;
pub use report::Row;
pub use report::Verdict;
pub use run::KitOptions;
pub use run::run;
pub use target::TargetOptions;
