//! The library for services in Rust that take part in sagas, and the barrier that keeps their contract for them.
//!
//! ```text
//! commands --> decode --> transaction { barrier.begin; your handler; barrier.finish } --> reply --> acknowledged --> offsets
//! ```
//! Your handler runs at most once for each command id, in a transaction of your own database: its writes and the stored answer
//! become true together. Whatever comes twice, too late or in the wrong order is answered without it (CONTRACT of the README).

mod barrier;
mod scaffold;
mod service;

pub use barrier::Begun;
pub use barrier::apply;
pub use barrier::begin;
pub use barrier::finish;
pub use barrier::forget;
pub use scaffold::Language;
pub use scaffold::ScaffoldError;
pub use scaffold::ScaffoldFile;
pub use scaffold::scaffold;
pub use service::Answering;
pub use service::Done;
pub use service::Handler;
pub use service::Service;
pub use service::ServiceError;
