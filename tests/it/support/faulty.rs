//! A store whose statements fail where a test says so.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sagabus::core::{Partition, Sha256};
use sagabus::store::{
    Asked, Catalogue, Change, Claim, DeadWriter, DefinitionRow, Fence, NewPartition, PartitionOffset, Receipt,
    Registration, SagaKey, Store, StoreError, Stored, UnemittedRow,
};
use uuid::Uuid;

/// What happens to one commit.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Nothing is written.
    Before(StoreError),
    /// It is written, and the answer is lost.
    AnswerLost,
    /// It never comes to an end.
    Hangs,
}

/// Looks at a change before it is committed.
type Faults = Box<dyn FnMut(&Change) -> Option<Fault>>;

/// The store inside, and how often a fault fired.
pub(crate) struct Faulty<S> {
    inner: S,
    faults: Faults,
    pub(crate) seen: Rc<RefCell<Seen>>,
    /// While it is, nothing can be written.
    pub(crate) is_cut_off: Rc<Cell<bool>>,
    /// So often does a question for what people ask end in a panic.
    pub(crate) asked_panics: Rc<Cell<u32>>,
}

/// What a test may ask afterwards.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) fired: usize,
    pub(crate) registrations: usize,
    pub(crate) loads: usize,
    pub(crate) changes: Vec<Change>,
}

impl<S> Faulty<S> {
    pub(crate) fn new(inner: S, faults: impl FnMut(&Change) -> Option<Fault> + 'static) -> Self {
        Self {
            inner,
            faults: Box::new(faults),
            seen: Rc::default(),
            is_cut_off: Rc::default(),
            asked_panics: Rc::default(),
        }
    }

    fn reach(&self) -> Result<(), StoreError> {
        if self.is_cut_off.get() { Err(StoreError::Unknown("no answer".to_owned())) } else { Ok(()) }
    }
}

impl<S: Store> Store for Faulty<S> {
    async fn register(&mut self, instance: Option<&str>, age: Option<i64>) -> Result<Registration, StoreError> {
        self.reach()?;
        self.seen.borrow_mut().registrations += 1;
        self.inner.register(instance, age).await
    }

    async fn commit(&mut self, fence: &Fence, change: &Change) -> Result<Receipt, StoreError> {
        self.reach()?;
        self.seen.borrow_mut().changes.push(change.clone());
        let fault = (self.faults)(change);
        self.seen.borrow_mut().fired += usize::from(fault.is_some());
        match fault {
            Some(Fault::Before(error)) => Err(error),
            Some(Fault::AnswerLost) => {
                self.inner.commit(fence, change).await?;
                Err(StoreError::Unknown("answer lost".to_owned()))
            }
            Some(Fault::Hangs) => std::future::pending().await,
            None => self.inner.commit(fence, change).await,
        }
    }

    async fn load(&mut self, keys: &[SagaKey]) -> Result<Vec<Stored>, StoreError> {
        self.seen.borrow_mut().loads += usize::from(!keys.is_empty());
        self.inner.load(keys).await
    }

    async fn offsets(&mut self, partitions: &[Partition]) -> Result<Vec<PartitionOffset>, StoreError> {
        self.inner.offsets(partitions).await
    }

    async fn add_partitions(&mut self, partitions: &[NewPartition]) -> Result<Vec<PartitionOffset>, StoreError> {
        self.inner.add_partitions(partitions).await
    }

    async fn stop_partition(&mut self, partition: &Partition, at: i64, reason: &str) -> Result<(), StoreError> {
        self.inner.stop_partition(partition, at, reason).await
    }

    async fn offsets_of(&mut self, topic: &str) -> Result<Vec<PartitionOffset>, StoreError> {
        self.inner.offsets_of(topic).await
    }

    async fn catalogue(&mut self) -> Result<Catalogue, StoreError> {
        self.inner.catalogue().await
    }

    async fn definition(&mut self, hash: Sha256) -> Result<Option<DefinitionRow>, StoreError> {
        self.inner.definition(hash).await
    }

    async fn claim_due(&mut self, overdue_ms: u64, released: i64, limit: usize) -> Result<Vec<Claim>, StoreError> {
        self.inner.claim_due(overdue_ms, released, limit).await
    }

    async fn dead_writers(
        &mut self,
        silent_ms: u64,
        instance: Option<&str>,
        fence: &Fence,
    ) -> Result<Vec<DeadWriter>, StoreError> {
        self.inner.dead_writers(silent_ms, instance, fence).await
    }

    async fn take_over(&mut self, fence: &Fence, dead: &DeadWriter) -> Result<Vec<UnemittedRow>, StoreError> {
        self.inner.take_over(fence, dead).await
    }

    async fn forget_writers(&mut self, fence: &Fence) -> Result<(), StoreError> {
        self.inner.forget_writers(fence).await
    }

    async fn resign(&mut self, fence: &Fence) -> Result<(), StoreError> {
        self.inner.resign(fence).await
    }

    async fn unemitted_of(&mut self, sagas: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        self.inner.unemitted_of(sagas).await
    }

    async fn asked(&mut self, limit: usize) -> Result<Asked, StoreError> {
        let left = self.asked_panics.get();
        self.asked_panics.set(left.saturating_sub(1));
        assert_eq!(left, 0, "a defect of ours");
        self.inner.asked(limit).await
    }

    async fn has_younger_namesake(&mut self, instance: &str, age: i64) -> Result<bool, StoreError> {
        self.inner.has_younger_namesake(instance, age).await
    }
}
