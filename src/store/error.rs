//! What an error of the store means (BATCH.md). What the engine then does is `engine/settle.rs`, and nobody else decides it.

/// Why a statement did not do what was asked. Nothing of it was written, but for `Unknown`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// This writer was taken over, or the database lost commits.
    #[error("write as this writer: it was taken over, or the database lost commits")]
    Fenced,
    /// The catalogue's generation is another one.
    #[error("write with this catalogue: the definitions have changed")]
    CatalogueChanged,
    /// A partition does not stand where the change begins.
    #[error("move an offset: another writer has moved it")]
    OffsetMoved,
    /// Another writer was first at a saga of the batch.
    #[error("advance a saga: another writer was first")]
    SagaRaced,
    /// Contention, or decided a moment ahead of the database's clock: the same statement may succeed now.
    #[error("write a batch: contention ({0})")]
    Contention(String),
    /// The connection or its answer was lost: whether it was written is unknown.
    #[error("reach the database: {0}")]
    Unknown(String),
    /// Postgres refuses a value.
    #[error("store a value: refused with {sqlstate}: {message}")]
    Refused {
        /// Its SQLSTATE.
        sqlstate: String,
        /// Its words.
        message: String,
    },
    /// The database holds something in force that only a newer version understands.
    #[error("read {0}: it needs a newer version")]
    Newer(String),
    /// A defect of ours.
    #[error("write a batch: {0}")]
    Defect(String),
}
