//! What several test modules use.

pub(crate) mod participants;
pub(crate) mod world;
