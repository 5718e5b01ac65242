//! How a verb fails: an exit code that scripts can rely on, a sentence, a hint (OPERATIONS.md section 2).

use std::fmt;

use crate::bus::{BusError, GreetError};
use crate::definition::Report;
use crate::engine::EngineError;
use crate::store::{ConsoleError, MigrateError, StoreError};

/// Exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Failed, or a check said no.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// Not found.
    NotFound = 3,
    /// The state does not allow it.
    Refused = 4,
    /// Some items of many were refused.
    Partial = 5,
    /// Server, database or Kafka not reachable, or nobody decided.
    Unreachable = 6,
    /// Invalid definition.
    InvalidDefinition = 7,
    /// `--wait` ran out.
    TimedOut = 124,
}

/// Why a verb failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The process's exit code.
    pub exit: Exit,
    /// What happened, with its causes.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Failure {
    /// A failure with a hint.
    pub fn new(exit: Exit, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: hint.into() }
    }

    /// Wrong usage, which its message explains.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message, "")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\nhint: {}", self.hint) }
    }
}

impl std::error::Error for Failure {}

/// The SQLSTATE of a deployment whose version is active with other content (`deploy`).
const OTHER_CONTENT: &str = "SG006";

impl From<ConsoleError> for Failure {
    fn from(error: ConsoleError) -> Self {
        let message = format!("{error}: {}", error.source);
        match error.source {
            StoreError::Refused { sqlstate, .. } if sqlstate == OTHER_CONTENT => {
                Self::new(Exit::InvalidDefinition, message, "raise the definition's version")
            }
            StoreError::Refused { .. } => {
                Self::new(Exit::Usage, message, "Postgres cannot keep, or reckon with, such a value")
            }
            StoreError::Defect(_) | StoreError::Newer(_) => {
                Self::new(Exit::Failed, message, "is the schema up to date? run: sagabus migrate")
            }
            StoreError::Fenced
            | StoreError::CatalogueChanged
            | StoreError::OffsetMoved
            | StoreError::SagaRaced
            | StoreError::Contention(_)
            | StoreError::Unknown(_) => {
                Self::new(Exit::Unreachable, message, "check SAGABUS_DATABASE_URL and that Postgres runs")
            }
        }
    }
}

impl From<BusError> for Failure {
    fn from(error: BusError) -> Self {
        Self::new(Exit::Unreachable, error.to_string(), "check SAGABUS_KAFKA and that the broker runs")
    }
}

impl From<GreetError> for Failure {
    fn from(error: GreetError) -> Self {
        match error {
            GreetError::Unreachable(error) => error.into(),
            GreetError::Refused(error) => {
                let hint = "check SAGABUS_KAFKA_PROPERTIES: mechanism, user, password";
                Self::new(Exit::Usage, error.to_string(), hint)
            }
        }
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        let exit = match error {
            MigrateError::Database(_) => Exit::Unreachable,
            MigrateError::Migrate(_)
            | MigrateError::Older { .. }
            | MigrateError::Newer { .. }
            | MigrateError::Unfinished { .. } => Exit::Failed,
        };
        Self::new(exit, format!("{error}{cause}"), "")
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::new(Exit::Failed, error.to_string(), "")
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Self::new(
            Exit::InvalidDefinition,
            report.render(false),
            "sagabus definitions lint shows the same without starting",
        )
    }
}
