//! What several test modules use.

pub(crate) mod barrier_participant;
pub(crate) mod database;
pub(crate) mod faulty;
pub(crate) mod http;
pub(crate) mod issuer;
pub(crate) mod listening;
pub(crate) mod log;
pub(crate) mod participants;
pub(crate) mod served;
pub(crate) mod stores;
pub(crate) mod world;
