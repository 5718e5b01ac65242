//! Every verb once: what it needs, what it does, how it can fail. The command line and HTTP are thin over it.

mod act;
mod checks;
mod deploy;
mod failure;
mod places;
mod read;
mod sentence;
mod serve;
mod start;
mod topics;

pub use act::act;
pub use deploy::deploy_folder;
pub use failure::Exit;
pub use failure::Failure;
pub use places::Places;
pub use read::JournalRow;
pub use read::ListedJson;
pub use read::ParkedJson;
pub use read::Shown;
pub use read::StepJson;
pub use read::find_one;
pub use read::list;
pub use read::parked;
pub use read::plan_of;
pub use read::replay_run;
pub use read::replay_verify;
pub use read::show;
pub use serve::ServeOptions;
pub use serve::serve;
pub use start::start;
pub use start::wait_for_end;
pub use topics::SeekTo;
pub use topics::diff;
pub use topics::ensure;
pub use topics::needs_of;
pub use topics::seek;
