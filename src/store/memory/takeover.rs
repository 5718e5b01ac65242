//! A takeover in memory: the same statements as on Postgres (BATCH.md), so that a test can let other writers in between them.

use super::super::{DeadWriter, Fence, StoreError, UnemittedRow};
use super::MemoryStore;

impl MemoryStore {
    /// Takeover, first statement: nobody else takes this writer over, and it writes nothing more. False when somebody was faster.
    pub fn fence_off(&mut self, dead: &DeadWriter) -> bool {
        let mut tables = self.database.lock();
        let incarnation = tables.incarnation();
        match tables.writers.get_mut(&dead.writer) {
            Some(writer) if writer.incarnation == dead.incarnation => {
                writer.incarnation = incarnation;
                writer.taken_over = true;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takeover, second statement: what it had committed and not deleted is the taker's.
    ///
    /// # Errors
    /// `Fenced` when the taker was itself taken over.
    pub fn take_rows(&mut self, fence: &Fence, dead: &DeadWriter) -> Result<Vec<UnemittedRow>, StoreError> {
        let mut tables = self.database.lock();
        tables.fenced(fence)?;
        let now = tables.now;
        tables.writers.entry(fence.writer).and_modify(|taker| taker.heartbeat_at = now);
        let mut taken = Vec::new();
        for ((writer, batch), row) in tables.unemitted.iter_mut().filter(|(_, row)| row.owner == dead.writer) {
            row.owner = fence.writer;
            taken.push(UnemittedRow { writer: *writer, batch: *batch, rows: row.rows.clone() });
        }
        Ok(taken)
    }
}
