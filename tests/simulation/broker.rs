//! Kafka, simulated: partitions that are logs, a group whose members hear late what they own, producers whose batches are lost with
//! their process, written twice, acknowledged late. Passes the conformance suite of `bus`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sagabus::bus::{Arrival, Bus, BusError, Delivery, From, Tag};
use sagabus::core::{Action, Partition};
use sagabus::wire::{self, Event, Outgoing, Record, RecordHead};
use uuid::Uuid;

use super::world::{Life, World};

/// What a broker takes at most, in bytes: Kafka's default.
const RECORD_MAX: usize = 1_048_588;

/// All topics, and who reads them.
#[derive(Default)]
pub(crate) struct Broker {
    logs: BTreeMap<Arc<str>, Vec<Vec<Option<Record>>>>,
    members: Vec<Member>,
    generation: u64,
    waiting: Vec<Life>,
    readers: BTreeMap<Partition, Life>,
    pub(crate) away_until: i64,
    /// Every command by id: its first record, as topic, key, value and headers, and when it was written.
    pub(crate) commands: BTreeMap<Uuid, Written>,
    unacknowledged: BTreeSet<Uuid>,
}

/// A command's first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) at: i64,
    pub(crate) command: wire::Received,
    record: Outgoing,
}

/// A consumer of the group.
struct Member {
    life: Life,
    alive: Rc<Cell<bool>>,
    topics: Vec<Arc<str>>,
    inbox: Rc<RefCell<Inbox>>,
    given: Vec<Partition>,
}

/// What waits for one engine.
#[derive(Default)]
struct Inbox {
    notices: VecDeque<Arrival>,
    deliveries: Vec<Delivery>,
    under_way: usize,
}

impl Broker {
    pub(crate) fn create(&mut self, topic: &Arc<str>, partitions: u32) {
        self.logs.entry(Arc::clone(topic)).or_insert_with(|| (0..partitions).map(|_| Vec::new()).collect());
    }

    fn log(&self, (topic, partition): &Partition) -> Option<&Vec<Option<Record>>> {
        self.logs.get(topic)?.get(usize::try_from(*partition).ok()?)
    }

    /// The end of every partition of a topic.
    pub(crate) fn ends(&self, topic: &str) -> Vec<(i32, i64)> {
        let partitions = self.logs.get(topic).into_iter().flatten();
        (0..).zip(partitions.map(|log| i64::try_from(log.len()).unwrap_or(i64::MAX))).collect()
    }

    /// Offsets of a partition, between two, that hold no record.
    pub(crate) fn markers(&self, partition: &Partition, from: i64, to: i64) -> i64 {
        let place = |offset: i64| usize::try_from(offset).unwrap_or(0);
        let Some(log) = self.log(partition) else { return 0 };
        let between = log.get(place(from)..place(to).min(log.len())).unwrap_or_default();
        i64::try_from(between.iter().filter(|record| record.is_none()).count()).unwrap_or(i64::MAX)
    }

    /// The records of a topic, partition by partition.
    pub(crate) fn records(&self, topic: &str) -> impl Iterator<Item = &Record> {
        self.logs.get(topic).into_iter().flatten().flatten().flatten()
    }

    fn wake_readers(&mut self, world: &World) {
        for life in self.waiting.drain(..) {
            world.wake(life, 500);
        }
    }

    /// A life ended: the group hears of it after its session's time.
    pub(crate) fn leave(&mut self, life: Life) {
        self.members.retain(|member| member.life != life);
    }
}

/// Appends whatever it is; its key chooses the partition.
pub(crate) fn append_raw(
    world: &World,
    topic: &Arc<str>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
    timestamp: Option<sagabus::core::Timestamp>,
) {
    let mut broker = world.broker.borrow_mut();
    let timestamp = timestamp.unwrap_or_else(|| world.date());
    let Some(partitions) = broker.logs.get_mut(topic) else { return };
    let sum: usize = key.unwrap_or_default().iter().map(|byte| usize::from(*byte)).sum();
    let place = sum % partitions.len();
    let log = &mut partitions[place];
    let offset = i64::try_from(log.len()).expect("few records");
    let partition = i32::try_from(place).expect("few partitions");
    let head = RecordHead { topic: Arc::clone(topic), partition, offset, timestamp };
    log.push(Some(Record::new(head, key, value, headers.iter().copied())));
    if world.happens(world.knobs.borrow().markers) {
        log.push(None);
        world.saw("transaction marker");
    }
    broker.wake_readers(world);
}

/// Appends a record that is well formed.
pub(crate) fn append(world: &World, record: &Outgoing) {
    let headers: Vec<(&str, Option<&[u8]>)> =
        record.headers.iter().map(|(name, value)| (*name, Some(value.as_bytes()))).collect();
    let (key, value) = (record.key.as_bytes(), record.value.get().as_bytes());
    append_raw(world, &record.topic, Some(key), Some(value), &headers, record.timestamp);
}

/// An engine's command or announcement is written: participants hear of commands.
fn append_sent(world: &Rc<World>, record: &Outgoing) {
    append(world, record);
    let is_command = record.headers.iter().any(|(name, _)| *name == "ce_sagaaction");
    if !is_command {
        return;
    }
    let headers = record.headers.iter().map(|(name, value)| (*name, Some(value.as_bytes())));
    let head = RecordHead { topic: Arc::clone(&record.topic), partition: 0, offset: 0, timestamp: world.date() };
    let copy = Record::new(head, Some(record.key.as_bytes()), Some(record.value.get().as_bytes()), headers);
    let event = Event::read(&copy).expect("commands are well formed");
    let command = wire::received(&copy, &event).expect("commands are well formed");
    let written = Written { at: world.now(), command: command.clone(), record: record.clone() };
    let mut broker = world.broker.borrow_mut();
    broker.unacknowledged.insert(command.id);
    match broker.commands.get(&command.id) {
        // When commits were lost a command is decided again: at another time, for another cause, with the same data.
        Some(first) if first.record != *record => {
            let is_same_data = first.record.value == record.value;
            if !world.outage.borrow().has_lost_commits() || !is_same_data && !is_excused(world, &command) {
                drop(broker);
                world.violated(format!("command {} was sent again with other bytes", command.id));
                return;
            }
        }
        Some(_) => {}
        None => _ = broker.commands.insert(command.id, written),
    }
    drop(broker);
    super::participants::deliver(world, command);
}

/// After lost commits an operator's edit may give an old id other data: its participant answers with a conflict.
pub(crate) fn is_excused(world: &World, command: &wire::Received) -> bool {
    world.outage.borrow().has_lost_commits() && world.steered.borrow().contains(&command.saga_id)
}

/// Shares the partitions out anew; every member hears of it in its own time.
pub(crate) fn rebalance(world: &Rc<World>) {
    let mut broker = world.broker.borrow_mut();
    broker.generation += 1;
    let generation = broker.generation;
    let turn = usize::try_from(generation).unwrap_or(0);
    let topics: BTreeSet<Arc<str>> = broker.members.iter().flat_map(|member| member.topics.iter().cloned()).collect();
    let partitions: Vec<Partition> = topics
        .iter()
        .flat_map(|topic| {
            let count = broker.logs.get(topic).map_or(0, Vec::len);
            (0..i32::try_from(count).expect("few partitions")).map(move |number| (Arc::clone(topic), number))
        })
        .collect();
    let members = broker.members.len();
    for (place, member) in broker.members.iter().enumerate() {
        let mine: Vec<Partition> = partitions
            .iter()
            .enumerate()
            .filter(|(number, _)| (number + turn) % members == place)
            .map(|(_, partition)| partition.clone())
            .collect();
        let (life, delay) = (member.life, if world.is_unsafe.get() { world.delay(0, 3_000) } else { 1_000 });
        world.carry(delay, move |world| hear(world, generation, life, mine));
    }
}

/// A consumer joins the group. With a name (static membership) it takes the place of its namesake, which the broker then refuses for
/// good: that one makes a new client after a while, and joins again if its process still lives.
fn join(world: &Rc<World>, member: Member) {
    let has_names = world.knobs.borrow().has_names;
    let mut broker = world.broker.borrow_mut();
    let Some(place) = broker.members.iter().position(|other| has_names && other.life.0 == member.life.0) else {
        broker.members.push(member);
        return;
    };
    let before = std::mem::replace(&mut broker.members[place], member);
    let member = &mut broker.members[place];
    member.given.clone_from(&before.given);
    let given = before.given.clone();
    if !given.is_empty() {
        member.inbox.borrow_mut().notices.push_back(Arrival::Assigned(given));
        world.wake(member.life, 100);
    }
    drop(broker);
    world.carry(4_000_000, move |world| {
        let is_back = world.broker.borrow().members.iter().any(|member| member.life == before.life);
        if before.alive.get() && !is_back {
            world.saw("fenced consumer joined again");
            before.inbox.borrow_mut().notices.push_back(Arrival::Revoked(before.given.clone()));
            join(world, Member { given: Vec::new(), ..before });
            rebalance(world);
        }
    });
}

/// One member hears what it owns now.
fn hear(world: &Rc<World>, generation: u64, life: Life, mine: Vec<Partition>) {
    let mut broker = world.broker.borrow_mut();
    if broker.generation != generation {
        return;
    }
    let Some(member) = broker.members.iter_mut().find(|member| member.life == life) else { return };
    let before = std::mem::replace(&mut member.given, mine.clone());
    let mut inbox = member.inbox.borrow_mut();
    if !before.is_empty() {
        inbox.notices.push_back(Arrival::Revoked(before));
    }
    inbox.notices.push_back(Arrival::Assigned(mine));
    drop(inbox);
    broker.waiting.retain(|other| *other != life);
    world.wake(life, 100);
}

/// One engine's connection.
pub(crate) struct SimBus {
    world: Rc<World>,
    life: Life,
    /// False once its process is gone.
    alive: Rc<Cell<bool>>,
    inbox: Rc<RefCell<Inbox>>,
    topics: Vec<Arc<str>>,
    assigned: Vec<Partition>,
    starts: BTreeMap<Partition, i64>,
}

/// A batch on its way.
struct Sending {
    life: Life,
    alive: Rc<Cell<bool>>,
    inbox: Rc<RefCell<Inbox>>,
    tag: Tag,
    records: Vec<Outgoing>,
}

impl SimBus {
    pub(crate) fn connect(world: &Rc<World>, life: Life, alive: Rc<Cell<bool>>) -> Self {
        Self {
            world: Rc::clone(world),
            life,
            alive,
            inbox: Rc::default(),
            topics: Vec::new(),
            assigned: Vec::new(),
            starts: BTreeMap::new(),
        }
    }

    fn is_away(&self) -> bool {
        self.world.broker.borrow().away_until > self.world.now()
    }

    /// A question to the broker: takes a while, and fails while it is away.
    async fn ask(&self, attempted: &str) -> Result<(), BusError> {
        self.world.sleep(self.world.delay(0, 4)).await;
        if self.is_away() {
            self.world.sleep(1_000_000).await;
            return Err(BusError { attempted: attempted.to_owned(), message: "the broker is away".to_owned() });
        }
        Ok(())
    }

    fn take(&mut self, max: usize) -> Vec<Arrival> {
        let mut taken = Vec::new();
        let mut broker = self.world.broker.borrow_mut();
        if broker.away_until > self.world.now() {
            return taken;
        }
        for (partition, next) in &mut self.starts {
            let most = 1 + usize::try_from(self.world.choices.borrow_mut().heavy_tailed(200)).expect("small");
            let mut count = 0;
            while taken.len() < max
                && count < most
                && let Some(log) = broker.log(partition)
                && let Some(found) = log.get(usize::try_from(*next).unwrap_or(usize::MAX))
            {
                *next += 1;
                if let Some(record) = found {
                    let event = Event::read(record);
                    taken.push(Arrival::Record(record.clone(), event));
                    count += 1;
                }
            }
            if count > 0 {
                let before = broker.readers.insert(partition.clone(), self.life);
                if before.is_some_and(|before| before != self.life && broker.members.iter().any(|m| m.life == before)) {
                    self.world.saw("records read by two engines");
                }
            }
        }
        taken
    }
}

impl std::fmt::Debug for SimBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimBus").field("life", &self.life).finish_non_exhaustive()
    }
}

impl Bus for SimBus {
    async fn arrived(&mut self, max: usize, wait: Duration) -> Vec<Arrival> {
        let until = self.world.now() + i64::try_from(wait.as_micros()).unwrap_or(i64::MAX / 4).min(60_000_000);
        self.world.sleep(self.world.delay(0, 2)).await;
        loop {
            let notices: Vec<Arrival> = self.inbox.borrow_mut().notices.drain(..).collect();
            for notice in &notices {
                match notice {
                    Arrival::Assigned(partitions) => self.assigned.clone_from(partitions),
                    Arrival::Revoked(partitions) => {
                        self.assigned.retain(|assigned| !partitions.contains(assigned));
                        self.starts.retain(|partition, _| !partitions.contains(partition));
                    }
                    Arrival::Record(..) | Arrival::Stopped { .. } => {}
                }
            }
            let arrivals = if notices.is_empty() { self.take(max) } else { notices };
            let left = until - self.world.now();
            if !arrivals.is_empty() || left <= 0 {
                return arrivals;
            }
            self.world.broker.borrow_mut().waiting.push(self.life);
            self.world.wait(left).await;
            let life = self.life;
            self.world.broker.borrow_mut().waiting.retain(|waiting| *waiting != life);
        }
    }

    fn subscribe(&mut self, topics: &[Arc<str>]) {
        self.topics = topics.to_vec();
        let known =
            self.world.broker.borrow_mut().members.iter_mut().find(|member| member.life == self.life).map(|member| {
                member.topics = topics.to_vec();
            });
        if known.is_none() {
            let (alive, inbox) = (Rc::clone(&self.alive), Rc::clone(&self.inbox));
            join(&self.world, Member { life: self.life, alive, topics: topics.to_vec(), inbox, given: Vec::new() });
        }
        self.world.carry(self.world.delay(0, 300), rebalance);
    }

    fn assignment(&self) -> Vec<Partition> {
        self.assigned.clone()
    }

    fn start(&mut self, starts: Vec<(Partition, i64)>) {
        self.starts.clear();
        let mut inbox = self.inbox.borrow_mut();
        inbox.notices.retain(|notice| !matches!(notice, Arrival::Stopped { .. }));
        let broker = self.world.broker.borrow();
        for (partition, start) in starts {
            let end = broker.log(&partition).map_or(0, |log| i64::try_from(log.len()).unwrap_or(i64::MAX));
            if start > end {
                let reason = format!("offset {start} is outside the log, which holds 0 to {end}");
                inbox.notices.push_back(Arrival::Stopped { partition, reason });
            } else {
                self.starts.insert(partition, start);
            }
        }
    }

    fn emit(&mut self, tag: Tag, records: Vec<Outgoing>) {
        let (life, alive, inbox) = (self.life, Rc::clone(&self.alive), Rc::clone(&self.inbox));
        inbox.borrow_mut().under_way += 1;
        let delay = self.world.delay(0, 8);
        let sending = Sending { life, alive, inbox, tag, records };
        self.world.carry(delay, move |world| send(world, sending));
    }

    fn delivered(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.inbox.borrow_mut().deliveries)
    }

    fn forget(&mut self) {
        self.inbox.borrow_mut().deliveries.clear();
    }

    async fn flush(&mut self, at_most: Duration) {
        let until = self.world.now() + i64::try_from(at_most.as_micros()).unwrap_or(0);
        while self.inbox.borrow().under_way > 0 && self.world.now() < until {
            self.world.sleep(5_000).await;
        }
    }

    async fn ends(&mut self, topic: &str, _at_most: Duration) -> Result<Vec<(i32, i64)>, BusError> {
        self.ask("ask for the ends").await?;
        let ends = self.world.broker.borrow().ends(topic);
        self.world.sleep(self.world.delay(0, 4)).await;
        Ok(ends)
    }

    async fn end_without_records(
        &mut self,
        partition: &Partition,
        from: i64,
        _at_most: Duration,
    ) -> Result<Option<i64>, BusError> {
        self.ask("look for records").await?;
        let broker = self.world.broker.borrow();
        let log = broker.log(partition).map_or(&[] as &[_], Vec::as_slice);
        let is_empty = log.iter().skip(usize::try_from(from).unwrap_or(0)).all(Option::is_none);
        Ok(is_empty.then(|| i64::try_from(log.len()).unwrap_or(i64::MAX)))
    }

    async fn first_offset(&mut self, partition: &Partition, from: From) -> Result<i64, BusError> {
        self.ask("ask where a partition begins").await?;
        let broker = self.world.broker.borrow();
        let log = broker.log(partition).map_or(&[] as &[_], Vec::as_slice);
        let count = match from {
            From::Earliest => 0,
            From::Latest => log.len(),
            From::Time(moment) => {
                log.iter().take_while(|record| record.as_ref().is_none_or(|record| record.timestamp() < moment)).count()
            }
        };
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

/// A batch reaches the broker, or does not.
fn send(world: &Rc<World>, sending: Sending) {
    let away = world.broker.borrow().away_until - world.now();
    if !sending.alive.get() && (away > 0 || world.happens(5_000)) {
        world.saw("batch lost with its process");
        return;
    }
    if away > 0 {
        let delay = away + world.delay(0, 500);
        world.carry(delay, move |world| send(world, sending));
        return;
    }
    let (refused, twice) = {
        let knobs = world.knobs.borrow();
        (knobs.refused, knobs.sent_twice)
    };
    let mut kept = Vec::new();
    for (index, record) in sending.records.iter().enumerate() {
        let is_command = record.headers.iter().any(|(name, _)| *name == "ce_sagaaction");
        let is_large = record.value.get().len() > RECORD_MAX;
        if is_large || is_command && world.happens(refused) {
            world.saw("command refused by the broker");
            let error = "refused".to_owned();
            sending.inbox.borrow_mut().deliveries.push(Delivery::Refused { tag: sending.tag, index, error });
        } else {
            kept.push((index, record.clone()));
        }
    }
    kept.iter().for_each(|(_, record)| append_sent(world, record));
    if world.happens(twice) {
        // The acknowledgement was lost, and the client wrote the batch again.
        world.saw("batch written twice");
        let again = kept.clone();
        world.carry(world.delay(1, 200), move |world| again.iter().for_each(|(_, record)| append_sent(world, record)));
    }
    let delay = world.delay(0, 60);
    world.carry(delay, move |world| {
        let mut broker = world.broker.borrow_mut();
        for (_, record) in &kept {
            let id = record.headers.iter().find(|(name, _)| *name == "ce_id").and_then(|(_, id)| id.parse().ok());
            _ = id.map(|id: Uuid| broker.unacknowledged.remove(&id));
        }
        drop(broker);
        let mut inbox = sending.inbox.borrow_mut();
        inbox.under_way -= 1;
        let acknowledged = kept.iter().map(|(index, _)| Delivery::Acknowledged { tag: sending.tag, index: *index });
        inbox.deliveries.extend(acknowledged);
        drop(inbox);
        world.wake(sending.life, 100);
    });
}

/// A participant's answer is written.
pub(crate) fn append_answer(world: &Rc<World>, command: &wire::Received, record: &Outgoing) {
    if world.broker.borrow().unacknowledged.contains(&command.id) {
        world.saw("answer before the engine heard of its own delivery");
    }
    let action = match command.action {
        Action::Do => "do",
        Action::Undo => "undo",
    };
    let outcome = record.headers.iter().find(|(name, _)| *name == "ce_sagaoutcome").map_or("", |(_, value)| value);
    world.tell("service", "kafka", || format!("{} {action} {} {outcome}", command.key, command.step));
    append(world, record);
}
