//! Everything in one process: the broker inside librdkafka, a private Postgres, the engine, sample services with a ledger. It shows
//! what Sagabus does and is no place for anything real: the mock broker proves no promise.

mod cluster;
mod demo;
mod examples;
mod postgres;
mod samples;
mod screen;
mod summary;
mod view;

pub use demo::DevError;
pub use demo::DevOptions;
pub use demo::run;
pub use postgres::PostgresError;
pub use postgres::PrivatePostgres;
pub use screen::Ink;
pub use screen::Scene;
pub use screen::Screen;
pub use screen::Words;
