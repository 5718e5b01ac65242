//! Postgres, simulated: the store in memory behind a connection that is slow, breaks before or after a statement, loses answers,
//! executes a statement after its sender has given up, and fails over to a standby that lags.

use std::collections::BTreeSet;
use std::rc::Rc;

use sagabus::core::{Partition, Sha256, Timestamp};
use sagabus::store::{
    Asked, Catalogue, Change, Claim, DeadWriter, DefinitionRow, Fence, MemoryDatabase, MemoryStore, NewPartition,
    PartitionOffset, Receipt, Registration, SagaKey, Store, StoreError, Stored, UnemittedRow,
};
use uuid::Uuid;

use super::watch;
use super::world::{Life, World, instantly};

/// Commits that a standby may lag behind.
const LAG_MAX: usize = 30;

/// An input is set aside at the third.
const PANICS_MAX: u64 = 2;

/// What is wrong with the database itself.
#[derive(Default)]
pub(crate) struct Outage {
    away_until: i64,
    clock_ahead: i64,
    /// The tables after each of the last commits, when a standby may take over.
    behind: Vec<MemoryDatabase>,
    failovers: u32,
    has_lost_commits: bool,
    /// Sagas of which a standby lacked facts.
    forgetful: BTreeSet<Uuid>,
    /// Lives that never reach the database again.
    pub(crate) cut_off: BTreeSet<Life>,
}

impl Outage {
    /// The database is well.
    pub(crate) fn heal(&mut self) {
        self.away_until = 0;
    }

    /// True once a standby took over that lacked commits.
    pub(crate) fn has_lost_commits(&self) -> bool {
        self.has_lost_commits
    }

    /// True for a saga of which a standby lacked facts.
    pub(crate) fn has_lost_facts_of(&self, saga: Uuid) -> bool {
        self.forgetful.contains(&saga)
    }

    /// How far the database's clock is ahead of the world's, in microseconds.
    pub(crate) fn clock_ahead(&self) -> i64 {
        self.clock_ahead
    }

    /// The database's clock.
    pub(crate) fn database_now(&self, world_now: i64) -> Timestamp {
        Timestamp::from_micros(world_now + self.clock_ahead)
    }
}

/// The primary dies; a standby takes over, perhaps without its last commits, with a clock of its own.
pub(crate) fn fail_over(world: &Rc<World>) {
    world.saw("database failed over");
    let (lost_max, jump) = {
        let knobs = world.knobs.borrow();
        (knobs.commits_lost_max, knobs.clock_jump_s)
    };
    let away = world.delay(500, 4_000);
    let mut outage = world.outage.borrow_mut();
    outage.failovers += 1;
    if outage.failovers == 2 {
        world.saw("database failed over twice");
    }
    outage.away_until = world.now() + away;
    let lost = usize::try_from(world.choices.borrow_mut().below(lost_max + 1)).expect("small");
    let known = outage.behind.len();
    if lost == 0 || known < 2 {
        world.database.fail_over(&world.database.snapshot());
    } else {
        let place = known.saturating_sub(1 + lost);
        world.saw("commits lost");
        outage.has_lost_commits = true;
        world.tell("postgres", "all", || format!("fails over, loses {} commits", known - 1 - place));
        let before = world.database.sagas();
        world.database.fail_over(&outage.behind[place]);
        watch::lost_commits(world);
        let after: BTreeSet<(Uuid, usize)> = facts(&world.database.sagas()).collect();
        outage.forgetful.extend(facts(&before).filter(|known| !after.contains(known)).map(|(saga, _)| saga));
        outage.behind.truncate(place + 1);
    }
    if jump > 0 {
        world.saw("database clock jumped");
        outage.clock_ahead += i64::from(world.choices.borrow_mut().below(jump + 1)) * 1_000_000;
    }
    let now = outage.database_now(world.now());
    drop(outage);
    world.database.set_now(now);
}

/// How many rows of facts there are of each saga.
fn facts(sagas: &[Stored]) -> impl Iterator<Item = (Uuid, usize)> {
    sagas.iter().map(|stored| (stored.row.id, stored.journal.len()))
}

/// One engine's connection.
#[derive(Debug)]
pub(crate) struct SimStore {
    world: Reach,
    inner: MemoryStore,
    life: Life,
    /// The server at the other end, as the number of fail-overs before it; `None` when the next statement connects first.
    server: Option<u32>,
}

/// The world, without a picture of it.
struct Reach(Rc<World>);

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

fn unknown(what: &str) -> StoreError {
    StoreError::Unknown(what.to_owned())
}

impl SimStore {
    pub(crate) fn connect(world: &Rc<World>, life: Life) -> Self {
        Self { world: Reach(Rc::clone(world)), inner: world.database.store(), life, server: None }
    }

    /// A statement travels to the database, on a connection that ends with its server. After an error the next one connects anew.
    async fn reach(&mut self) -> Result<(), StoreError> {
        self.panic_perhaps();
        let server = self.server.take();
        self.travel().await?;
        let now = self.world.0.outage.borrow().failovers;
        if server.is_some_and(|server| server != now) && !self.world.0.knobs.borrow().pooled {
            return Err(unknown("the server has died"));
        }
        self.server = Some(now);
        Ok(())
    }

    async fn travel(&self) -> Result<(), StoreError> {
        let world = &self.world.0;
        let (slow, fails) = {
            let knobs = world.knobs.borrow();
            (knobs.statement_slow, knobs.statement_fails)
        };
        if world.happens(slow) {
            world.sleep(world.delay(20, 4_000)).await;
        } else {
            self.hop().await;
        }
        world.sync();
        let is_away = {
            let outage = world.outage.borrow();
            outage.away_until > world.now() || outage.cut_off.contains(&self.life)
        };
        if is_away {
            world.sleep(200_000).await;
            return Err(unknown("the database is away"));
        }
        if world.happens(fails) {
            world.saw("statement failed before it committed");
            return Err(unknown("connection lost"));
        }
        Ok(())
    }

    /// A short way; at once in a third of all times, so that nothing else happens meanwhile.
    async fn hop(&self) {
        let world = &self.world.0;
        let millis = world.choices.borrow_mut().heavy_tailed(2);
        if millis > 0 {
            world.sleep(i64::from(millis) * 1_000 + 100).await;
        }
    }

    /// A defect of ours. Not so often in one world that an input is taken for what the engine crashes on.
    fn panic_perhaps(&self) {
        let world = &self.world.0;
        let panics = world.knobs.borrow().panics;
        let before: u64 = world.panicked.borrow().values().sum();
        if before < PANICS_MAX && world.happens(panics) {
            *world.panicked.borrow_mut().entry(self.life).or_insert(0) += 1;
            world.saw("engine panicked");
            world.tell(&watch::name(self.life), "all", || format!("[{}] panics", self.life.1));
            // Without the words of a real one.
            std::panic::resume_unwind(Box::new("by chance"));
        }
    }

    /// Its answer travels back.
    async fn answered<T>(&mut self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.panic_perhaps();
        let world = &self.world.0;
        self.hop().await;
        let lost = world.knobs.borrow().answer_lost;
        if answer.is_ok() && world.happens(lost) {
            self.server = None;
            return Err(unknown("answer lost"));
        }
        answer
    }

    fn execute(
        world: &Rc<World>,
        inner: &mut MemoryStore,
        life: Life,
        fence: &Fence,
        change: &Change,
    ) -> Result<Receipt, StoreError> {
        world.sync();
        let answer = instantly(inner.commit(fence, change));
        match &answer {
            Ok(_) => {
                watch::committed(world, life, change);
                if world.knobs.borrow().failovers > 0 {
                    let mut outage = world.outage.borrow_mut();
                    if outage.behind.len() > LAG_MAX {
                        outage.behind.remove(0);
                    }
                    outage.behind.push(world.database.snapshot());
                }
            }
            Err(error) => watch::refused(world, life, error),
        }
        answer
    }
}

impl Store for SimStore {
    async fn register(&mut self, instance: Option<&str>, age: Option<i64>) -> Result<Registration, StoreError> {
        self.server = None;
        self.reach().await?;
        let answer = instantly(self.inner.register(instance, age));
        self.answered(answer).await
    }

    async fn commit(&mut self, fence: &Fence, change: &Change) -> Result<Receipt, StoreError> {
        let world = Rc::clone(&self.world.0);
        let (late, contended) = {
            let knobs = world.knobs.borrow();
            (knobs.statement_late, knobs.contention)
        };
        if world.happens(late) {
            // The connection breaks; the server executes the statement all the same, some time later, unless it dies before.
            let (mut inner, life, fence, change) = (self.inner.clone(), self.life, fence.clone(), change.clone());
            let pooled = world.knobs.borrow().pooled;
            let server = self.server.take().filter(|_| !pooled).unwrap_or_else(|| world.outage.borrow().failovers);
            world.carry(world.delay(1, 3_000), move |world| {
                if world.outage.borrow().failovers != server {
                    return;
                }
                if Self::execute(world, &mut inner, life, &fence, &change).is_ok() {
                    world.saw("statement committed after its writer had given up");
                }
            });
            world.sleep(1_000).await;
            return Err(unknown("connection lost"));
        }
        self.reach().await?;
        if world.happens(contended) {
            world.saw("statement contended");
            return Err(StoreError::Contention("40P01".to_owned()));
        }
        let answer = Self::execute(&world, &mut self.inner, self.life, fence, change);
        let committed = answer.is_ok();
        let answered = self.answered(answer).await;
        if committed && answered.is_err() {
            world.saw("answer of a commit lost");
        }
        answered
    }

    async fn load(&mut self, keys: &[SagaKey]) -> Result<Vec<Stored>, StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.load(keys));
        self.answered(answer).await
    }

    async fn offsets(&mut self, partitions: &[Partition]) -> Result<Vec<PartitionOffset>, StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.offsets(partitions));
        self.answered(answer).await
    }

    async fn add_partitions(&mut self, partitions: &[NewPartition]) -> Result<Vec<PartitionOffset>, StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.add_partitions(partitions));
        self.answered(answer).await
    }

    async fn stop_partition(&mut self, partition: &Partition, at: i64, reason: &str) -> Result<(), StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.stop_partition(partition, at, reason));
        self.answered(answer).await
    }

    async fn offsets_of(&mut self, topic: &str) -> Result<Vec<PartitionOffset>, StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.offsets_of(topic));
        self.answered(answer).await
    }

    async fn catalogue(&mut self) -> Result<Catalogue, StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.catalogue());
        self.answered(answer).await
    }

    async fn definition(&mut self, hash: Sha256) -> Result<Option<DefinitionRow>, StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.definition(hash));
        self.answered(answer).await
    }

    async fn claim_due(&mut self, overdue_ms: u64, released: i64, limit: usize) -> Result<Vec<Claim>, StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.claim_due(overdue_ms, released, limit));
        self.answered(answer).await
    }

    async fn dead_writers(
        &mut self,
        silent_ms: u64,
        instance: Option<&str>,
        fence: &Fence,
    ) -> Result<Vec<DeadWriter>, StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.dead_writers(silent_ms, instance, fence));
        self.answered(answer).await
    }

    async fn take_over(&mut self, fence: &Fence, dead: &DeadWriter) -> Result<Vec<UnemittedRow>, StoreError> {
        // Two statements: others may write in between.
        self.reach().await?;
        let is_first = self.inner.fence_off(dead);
        if !self.answered(Ok(is_first)).await? {
            return Ok(Vec::new());
        }
        self.reach().await?;
        let answer = self.inner.take_rows(fence, dead);
        if answer.as_ref().is_ok_and(|rows| !rows.is_empty()) {
            self.world.0.saw("writer taken over with something to send");
        }
        self.answered(answer).await
    }

    async fn forget_writers(&mut self, fence: &Fence) -> Result<(), StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.forget_writers(fence));
        self.answered(answer).await
    }

    async fn resign(&mut self, fence: &Fence) -> Result<(), StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.resign(fence));
        self.answered(answer).await
    }

    async fn unemitted_of(&mut self, sagas: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.unemitted_of(sagas));
        self.answered(answer).await
    }

    async fn asked(&mut self, limit: usize) -> Result<Asked, StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.asked(limit));
        self.answered(answer).await
    }

    async fn has_younger_namesake(&mut self, instance: &str, age: i64) -> Result<bool, StoreError> {
        self.reach().await?;
        let answer = instantly(self.inner.has_younger_namesake(instance, age));
        self.answered(answer).await
    }
}
