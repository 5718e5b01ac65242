//! One dedicated connection, and what its errors mean. A statement that takes too long costs the connection, not the engine: it is
//! dropped whole and never used again, so no half-done statement can return to anybody.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgDatabaseError};
use sqlx::{Connection as _, PgConnection};

use super::super::StoreError;

/// A statement's time on the server: RELIABILITY.md section 5.4.
const STATEMENT_TIMEOUT: &str = "5000";
/// A black hole is noticed within this (C5): longer than the server's own limit.
const HARD_LIMIT: Duration = Duration::from_secs(8);

/// The store of one engine.
#[derive(Debug)]
pub struct PostgresStore {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

impl PostgresStore {
    /// A store that connects when it is first used. `url` is `postgres://...`.
    ///
    /// # Errors
    /// The address cannot be read.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions =
            url.parse().map_err(|error: sqlx::Error| StoreError::Unknown(error.to_string()))?;
        // Prepared on a small table, the batch statement would scan all of `saga` to update 84 rows (BATCH.md, last paragraph).
        let options = options.application_name("sagabus").options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", "2000"),
            ("idle_in_transaction_session_timeout", "10000"),
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("enable_bitmapscan", "off"),
            ("jit", "off"),
        ]);
        Ok(Self { options, connection: None })
    }

    /// Begins anew on another connection.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Runs statements on the connection, connecting first when there is none. After an error that leaves the connection in doubt, or
    /// when the time is up, the connection is gone.
    #[expect(
        clippy::disallowed_methods,
        reason = "the connection is owned by the future: when time is up both are dropped, nothing returns to a pool"
    )]
    pub(super) async fn run<T>(
        &mut self,
        statements: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let taken = self.connection.take();
        let work = async {
            let mut connection = match taken {
                Some(connection) => connection,
                None => PgConnection::connect_with(&self.options).await?,
            };
            let outcome = statements(&mut connection).await;
            Ok::<_, sqlx::Error>((connection, outcome))
        };
        match tokio::time::timeout(HARD_LIMIT, work).await {
            Ok(Ok((connection, Ok(value)))) => {
                self.connection = Some(connection);
                Ok(value)
            }
            Ok(Ok((connection, Err(error)))) => {
                let error = classify(error);
                if !matches!(error, StoreError::Unknown(_)) {
                    self.connection = Some(connection);
                }
                Err(error)
            }
            Ok(Err(error)) => Err(StoreError::Unknown(error.to_string())),
            Err(_) => Err(StoreError::Unknown(format!("no answer within {} s", HARD_LIMIT.as_secs()))),
        }
    }
}

/// What an error means, by SQLSTATE and the table's parent, never by a constraint's name: a partition reports its own (BATCH.md).
pub(super) fn classify(error: sqlx::Error) -> StoreError {
    let sqlx::Error::Database(reported) = &error else {
        let is_ours = matches!(
            error,
            sqlx::Error::Encode(_)
                | sqlx::Error::TypeNotFound { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::ColumnIndexOutOfBounds { .. }
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::Decode(_)
        );
        let message = error.to_string();
        return if is_ours { StoreError::Defect(message) } else { StoreError::Unknown(message) };
    };
    let state = reported.code().unwrap_or_default().into_owned();
    let table = reported.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::table).unwrap_or_default();
    let message = reported.message().to_owned();
    match state.as_str() {
        "SG001" => StoreError::Fenced,
        "SG002" => StoreError::CatalogueChanged,
        "SG003" => StoreError::OffsetMoved,
        "SG005" => StoreError::SagaRaced,
        "SG006" => StoreError::Refused { sqlstate: state, message },
        "23505" if table.starts_with("journal") || table == "saga" => StoreError::SagaRaced,
        // A period is being taken from a default partition (make_period, clear_default): sent again, the row lies elsewhere.
        "23514" if table.ends_with("_default") => StoreError::Contention(state),
        "40001" | "40P01" | "55P03" | "SG007" => StoreError::Contention(state),
        "25006" | "40003" => StoreError::Unknown(message),
        _ => match &state[..2.min(state.len())] {
            "08" | "57" | "53" | "58" => StoreError::Unknown(format!("{state}: {message}")),
            "22" | "23" | "54" => StoreError::Refused { sqlstate: state, message },
            _ => StoreError::Defect(format!("{state}: {message}")),
        },
    }
}
