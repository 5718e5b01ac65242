//! What else goes with its time beside sagas and their journals: plans, actions, redrives, the content of parked messages, traces.

use sqlx::Connection as _;

use super::audit::AUDIT_INSERT;
use super::console::{ConsoleError, failed};
use super::retention::{Keeper, RemovalOrder};
use super::rows::moment;

/// Each removes at most so many of its kind, of before a moment.
const RECORDS: [(&str, &str); 5] = [
    ("plans", include_str!("sql/plan_delete_ended.sql")),
    ("operations", include_str!("sql/operation_delete_decided.sql")),
    ("redrives", include_str!("sql/redrive_delete_decided.sql")),
    ("parkedMessagesEmptied", include_str!("sql/parked_message_update_emptied.sql")),
    ("traces", include_str!("sql/saga_trace_delete_orphans.sql")),
];

impl Keeper {
    /// Removes at most `most` records of each kind from before a moment, audited: plans, actions, redrives, the content of parked messages,
    /// traces of sagas that are gone. How many there were, by kind.
    ///
    /// # Errors
    /// The database does not answer, or the role may not remove them.
    pub async fn remove_records(
        &mut self,
        order: &RemovalOrder,
        most: u32,
    ) -> Result<Vec<(&'static str, u64)>, ConsoleError> {
        let removed = self.run(async |connection| {
            let (mut transaction, mut removed) = (connection.begin().await?, Vec::new());
            for (kind, statement) in RECORDS {
                let query = sqlx::query(statement).bind(moment(order.ended_before)).bind(i64::from(most));
                removed.push((kind, query.execute(&mut *transaction).await?.rows_affected()));
            }
            let told: Vec<String> =
                removed.iter().filter(|(_, count)| *count > 0).map(|(kind, count)| format!("{kind} {count}")).collect();
            if !told.is_empty() {
                let query = sqlx::query(AUDIT_INSERT).bind(&order.who).bind("remove records");
                let query = query.bind(format!("before {}", order.ended_before)).bind(&order.reason);
                query.bind("decided").bind(told.join(", ")).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(removed)
        });
        removed.await.map_err(failed("remove old records"))
    }
}
