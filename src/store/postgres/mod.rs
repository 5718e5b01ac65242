//! The store on Postgres: one statement a method, each in a file of its own below `sql/`.

mod checks;
mod commit;
mod connection;
mod console;
mod import;
mod jobs;
mod migrate;
mod parked;
mod plans;
mod rows;
mod search;
mod store;

pub use checks::Found;
pub use checks::Offender;
pub use checks::Snapshot;
pub use connection::PostgresStore;
pub use console::Balance;
pub use console::Console;
pub use console::ConsoleError;
pub use console::Durability;
pub use import::ImportedSaga;
pub use migrate::MigrateError;
pub use migrate::check_schema;
pub use migrate::migrate;
pub use parked::JudgedRedrive;
pub use parked::ListedParked;
pub use parked::NewRedrive;
pub use parked::OpenedParked;
pub use parked::ParkedFilter;
pub use parked::ParkedState;
pub use parked::PastRedrive;
pub use search::ListedSaga;
pub use search::SagaFilter;
