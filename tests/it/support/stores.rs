//! A store for the rules that every store must keep (`store_conformance.rs`), with what a test needs beside it.

use sagabus::core::{Operation, Timestamp};
use sagabus::store::{
    Console, DefinitionRow, HoldMade, HoldTarget, MemoryDatabase, MemoryStore, NewRedrive, OperationState,
    ParkedFilter, ParkedMessage, PostgresStore, Store, StoreError,
};
use uuid::Uuid;

use super::database::TestDatabase;

/// What a test needs beside a store: several writers on one database, time, operators, deployments.
pub(crate) trait Bench {
    type Writer: Store;
    fn writer(&self) -> Self::Writer;
    async fn pass(&self, millis: u64);
    async fn ask(&self, saga_id: Uuid, operation: Operation);
    async fn outcome(&self, id: Uuid) -> OperationState;
    async fn deploy(&self, rows: &[DefinitionRow], replaces: bool) -> Result<i64, StoreError>;
    async fn parked(&self) -> usize;
    /// The only parked message is to enter the line again.
    async fn redrive(&self, id: Uuid);
    /// An operator moves partition 0 of topic `t`.
    async fn seek(&self, to: i64) -> bool;
    /// A person holds a participant.
    async fn hold(&self, participant: &str) -> Option<i64>;
    /// A person releases what is held.
    async fn release(&self, hold: i64);
    /// Another server has taken over, with everything that was committed.
    async fn fail_over(&self);
}

#[derive(Default)]
pub(crate) struct InMemory(MemoryDatabase, std::cell::Cell<u64>);

impl Bench for InMemory {
    type Writer = MemoryStore;

    fn writer(&self) -> Self::Writer {
        self.0.store()
    }

    async fn pass(&self, millis: u64) {
        self.1.set(self.1.get() + millis);
        self.0.set_now(Timestamp::from_millis(1_700_000_000_000).plus_millis(self.1.get()));
    }

    async fn ask(&self, saga_id: Uuid, operation: Operation) {
        self.0.ask(saga_id, operation);
    }

    async fn outcome(&self, id: Uuid) -> OperationState {
        self.0.outcome(id).unwrap().state
    }

    async fn deploy(&self, rows: &[DefinitionRow], replaces: bool) -> Result<i64, StoreError> {
        self.0.deploy(rows, replaces).map(|deployment| deployment.generation)
    }

    async fn parked(&self) -> usize {
        self.0.parked().len()
    }

    async fn redrive(&self, id: Uuid) {
        self.0.redrive(id, self.0.parked()[0].clone());
    }

    async fn seek(&self, to: i64) -> bool {
        self.0.seek(&("t".into(), 0), to)
    }

    async fn hold(&self, participant: &str) -> Option<i64> {
        self.0.hold(HoldTarget::Participant(participant.into()))
    }

    async fn release(&self, hold: i64) {
        assert!(self.0.release(hold) && !self.0.release(hold));
    }

    async fn fail_over(&self) {
        self.0.fail_over(&self.0.snapshot());
    }
}

pub(crate) struct OnPostgres(TestDatabase, Console);

impl Bench for OnPostgres {
    type Writer = PostgresStore;

    fn writer(&self) -> PostgresStore {
        PostgresStore::new(&self.0.url).unwrap()
    }

    /// Time is Postgres's own: what should be long ago is written so.
    async fn pass(&self, millis: u64) {
        let ago = format!("{millis} * interval '1 millisecond'");
        self.0
            .run(&format!(
                "UPDATE writer SET heartbeat_at = heartbeat_at - {ago}; UPDATE saga SET wake_at = wake_at - {ago}"
            ))
            .await;
    }

    async fn ask(&self, saga_id: Uuid, operation: Operation) {
        self.1.ask(saga_id, "cancel", &operation).await.unwrap();
    }

    async fn outcome(&self, id: Uuid) -> OperationState {
        self.1.outcome(id).await.unwrap().state
    }

    async fn deploy(&self, rows: &[DefinitionRow], replaces: bool) -> Result<i64, StoreError> {
        self.1.deploy(rows, replaces).await.map(|deployment| deployment.generation).map_err(|error| error.source)
    }

    async fn parked(&self) -> usize {
        self.1.parked(&ParkedFilter::default(), 100).await.unwrap().len()
    }

    async fn redrive(&self, id: Uuid) {
        let message_id = self.1.parked(&ParkedFilter::default(), 1).await.unwrap()[0].id;
        let opened = self.1.open_parked(&[message_id]).await.unwrap().remove(0);
        let ParkedMessage { is_whole, value, headers, .. } = opened.message;
        let redrive = NewRedrive { id, message_id, is_whole, value, headers };
        assert_eq!(self.1.redrive(&[redrive], "redrive", "ada", "test").await.unwrap(), [id]);
    }

    async fn seek(&self, to: i64) -> bool {
        self.1.seek(("t", 0), to, "ada", "test").await.unwrap()
    }

    async fn hold(&self, participant: &str) -> Option<i64> {
        match self.1.hold(&HoldTarget::Participant(participant.into()), "ada", "test").await.unwrap() {
            HoldMade::Made(id) => Some(id),
            HoldMade::There => None,
            HoldMade::NotHeeded => panic!("every engine heeds it"),
        }
    }

    async fn release(&self, hold: i64) {
        let held = self.1.holds().await.unwrap().into_iter().find(|held| held.id == hold).unwrap();
        assert_eq!(self.1.release_hold(&held, "ada", "test").await.unwrap(), Some(true));
        assert_eq!(self.1.release_hold(&held, "ada", "test").await.unwrap(), Some(false));
    }

    /// To a statement it is the same whether the server was changed or what a writer knows of it.
    async fn fail_over(&self) {
        self.0.run("UPDATE writer SET server_started_at = server_started_at - interval '1 microsecond'").await;
    }
}

impl OnPostgres {
    pub(crate) async fn new(test: &str) -> Self {
        let database = TestDatabase::migrated(test).await;
        let console = Console::connect(&database.url).await.unwrap();
        Self(database, console)
    }
}
