//! Sagas from a file, into a database that has none: the one way in that is not the line.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::core::{Fact, Timestamp, Transition};

use super::super::{DefinitionRow, SagaRow, wakes_at_release};
use super::console::{Console, ConsoleError, failed};
use super::rows::moment;

const SAGA_LOCK: &str = include_str!("sql/saga_lock.sql");
const SAGA_SELECT_ANY: &str = include_str!("sql/saga_select_any.sql");
const DEFINITION_IMPORT: &str = include_str!("sql/definition_import.sql");
const SAGA_IMPORT: &str = include_str!("sql/saga_import.sql");

/// Sagas that one statement writes.
const CHUNK: usize = 500;

/// A saga as it was stored elsewhere: its small row, and its journal rows from seq 1 on, each with its moment.
pub type ImportedSaga = (SagaRow, Vec<(Timestamp, Vec<u8>)>);

/// The trace that a saga's trigger belonged to, as its first journal row has it.
fn trace_of(journal: &[(Timestamp, Vec<u8>)]) -> Option<Uuid> {
    let first = Transition::decode(&journal.first()?.1).ok()?;
    first.facts.iter().find_map(|fact| if let Fact::Started { trigger, .. } = fact { trigger.trace_id() } else { None })
}

impl Console {
    /// Writes sagas as they were, all or none. False, and nothing is written, when the database has sagas already.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn import(&self, definitions: &[DefinitionRow], sagas: &[ImportedSaga]) -> Result<bool, ConsoleError> {
        self.import_all(definitions, sagas).await.map_err(failed("import sagas"))
    }

    async fn import_all(&self, definitions: &[DefinitionRow], sagas: &[ImportedSaga]) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query(SAGA_LOCK).execute(&mut *transaction).await?;
        let (has_sagas,): (bool,) = sqlx::query_as(SAGA_SELECT_ANY).fetch_one(&mut *transaction).await?;
        if has_sagas {
            return Ok(false);
        }
        sqlx::query(DEFINITION_IMPORT)
            .bind(definitions.iter().map(|row| row.hash.as_bytes().as_slice()).collect::<Vec<&[u8]>>())
            .bind(definitions.iter().map(|row| &*row.name).collect::<Vec<&str>>())
            .bind(definitions.iter().map(|row| i32::try_from(row.version).unwrap_or(i32::MAX)).collect::<Vec<i32>>())
            .bind(definitions.iter().map(|row| row.body.as_str()).collect::<Vec<&str>>())
            .execute(&mut *transaction)
            .await?;
        for chunk in sagas.chunks(CHUNK) {
            let rows = || chunk.iter().map(|(row, _)| row);
            let journal = || chunk.iter().flat_map(|(row, journal)| (1_i32..).zip(journal).map(|line| (row.id, line)));
            let traces = || chunk.iter().filter_map(|(row, journal)| Some((trace_of(journal)?, row.id)));
            sqlx::query(SAGA_IMPORT)
                .bind(rows().map(|row| row.id).collect::<Vec<Uuid>>())
                .bind(rows().map(|row| row.definition_hash.as_bytes().as_slice()).collect::<Vec<&[u8]>>())
                .bind(rows().map(|row| &*row.definition_name).collect::<Vec<&str>>())
                .bind(rows().map(|row| &*row.business_key).collect::<Vec<&str>>())
                .bind(rows().map(|row| row.phase.number()).collect::<Vec<i16>>())
                .bind(rows().map(|row| moment(row.started_at)).collect::<Vec<DateTime<Utc>>>())
                .bind(rows().map(|row| row.finished_at.map(moment)).collect::<Vec<Option<DateTime<Utc>>>>())
                .bind(rows().map(|row| row.wake_at.map(moment)).collect::<Vec<Option<DateTime<Utc>>>>())
                .bind(rows().map(|row| row.error.as_deref()).collect::<Vec<Option<&str>>>())
                .bind(journal().map(|(id, _)| id).collect::<Vec<Uuid>>())
                .bind(journal().map(|(_, (seq, _))| seq).collect::<Vec<i32>>())
                .bind(journal().map(|(_, (_, (at, _)))| moment(*at)).collect::<Vec<DateTime<Utc>>>())
                .bind(journal().map(|(_, (_, (_, facts)))| facts.as_slice()).collect::<Vec<&[u8]>>())
                .bind(traces().map(|(trace, _)| trace).collect::<Vec<Uuid>>())
                .bind(traces().map(|(_, saga)| saga).collect::<Vec<Uuid>>())
                .bind(moment(wakes_at_release(0)))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}
