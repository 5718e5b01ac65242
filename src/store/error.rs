//! What an error of the store means, decided once (BATCH.md).

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
    /// Contention: the same statement may succeed now.
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
    /// A defect of ours.
    #[error("write a batch: {0}")]
    Defect(String),
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Begin anew as a restart does.
    Restart,
    /// Look again at what changed, decide again.
    DecideAgain,
    /// The same again, a little later.
    Retry,
    /// Commit in halves; put a single input aside.
    Halve,
    /// Stop loudly.
    Halt,
}

impl StoreError {
    /// What follows.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Fenced | Self::Unknown(_) => Disposition::Restart,
            Self::CatalogueChanged | Self::OffsetMoved | Self::SagaRaced => Disposition::DecideAgain,
            Self::Contention(_) => Disposition::Retry,
            Self::Refused { .. } => Disposition::Halve,
            Self::Defect(_) => Disposition::Halt,
        }
    }
}
