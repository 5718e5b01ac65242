//! One engine's connection to the simulated Kafka: records and rebalances may come in one answer, a batch travels in parcels, a parcel for
//! each partition. Parcels are lost with their process, written twice, acknowledged late.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sagabus::bus::{Ahead, Arrival, Bus, BusError, Delivery, From, Tag};
use sagabus::core::Partition;
use sagabus::wire::{Event, Outgoing};
use uuid::Uuid;

use super::broker::append_sent;
use super::group::{Inbox, Member, join, rebalance};
use super::world::{Life, World};

/// What a broker takes at most, in bytes: Kafka's default.
const RECORD_MAX: usize = 1_048_588;

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
    /// The broker's changes up to which everything was read.
    read_up_to: Option<u64>,
}

/// A topic, and the place of one of its partitions.
type Place = (Arc<str>, usize);

/// The records of a batch that go to one partition.
struct Parcel {
    life: Life,
    alive: Rc<Cell<bool>>,
    inbox: Rc<RefCell<Inbox>>,
    tag: Tag,
    place: Place,
    /// With their places in the batch.
    records: Vec<(usize, Outgoing)>,
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
            read_up_to: None,
        }
    }

    fn reaches(&self) -> bool {
        self.world.broker.borrow().reaches(self.life, self.world.now())
    }

    /// A question to the broker: takes a while, and fails while it is away.
    async fn ask(&self, attempted: &str) -> Result<(), BusError> {
        self.world.sleep(self.world.delay(0, 4)).await;
        if !self.reaches() {
            self.world.sleep(1_000_000).await;
            return Err(BusError { attempted: attempted.to_owned(), message: "the broker is away".to_owned() });
        }
        Ok(())
    }

    /// Records of the partitions that are read, as many as one fetch of each brings.
    fn take(&mut self, max: usize) -> Vec<Arrival> {
        let mut taken = Vec::new();
        let changes = self.world.broker.borrow().changes;
        if !self.reaches() || self.read_up_to == Some(changes) {
            return taken;
        }
        let max = max.min(self.world.knobs.borrow().hand_over_max);
        let mut broker = self.world.broker.borrow_mut();
        let broker = &mut *broker;
        let mut outside = Vec::new();
        for (partition, next) in &mut self.starts {
            let Some(log) = broker.log(partition) else { continue };
            if let Some(reason) = log.refuses(*next) {
                outside.push((partition.clone(), reason));
                continue;
            }
            let rest = log.between(*next, i64::MAX);
            if rest.is_empty() || taken.len() >= max {
                continue;
            }
            let most = 1 + usize::try_from(self.world.choices.borrow_mut().heavy_tailed(200)).expect("small");
            let before = taken.len();
            for found in rest {
                if taken.len() == max || taken.len() - before == most {
                    break;
                }
                *next += 1;
                taken.extend(found.as_ref().map(|record| Arrival::Record(record.clone(), Event::read(record))));
            }
            if taken.len() > before {
                let reader = broker.readers.insert(partition.clone(), self.life);
                let is_there = |life: Life| broker.group.members.iter().any(|member| member.life == life);
                if reader.is_some_and(|reader| reader != self.life && is_there(reader)) {
                    self.world.saw("records read by two engines");
                }
            }
        }
        for (partition, reason) in outside {
            self.world.saw("partition outside its log stopped");
            self.starts.remove(&partition);
            taken.push(Arrival::Stopped { partition, reason });
        }
        self.read_up_to = taken.is_empty().then_some(changes);
        taken
    }

    /// Leaves the group: what it had is given to others.
    fn leave(&mut self) {
        let is_cut_off = self.world.broker.borrow().cut_off.contains(&self.life);
        self.world.saw(if is_cut_off { "engine stood aside for its peers" } else { "engine left the group" });
        self.starts.clear();
        let given = std::mem::take(&mut self.assigned);
        self.inbox.borrow_mut().notices.push_back(Arrival::Revoked(given));
        self.world.broker.borrow_mut().group.leave(self.life);
        self.world.carry(self.world.delay(0, 300), rebalance);
    }

    /// Takes note of what the group says.
    fn heed(&mut self, notice: &Arrival) {
        match notice {
            Arrival::Assigned(partitions) => self.assigned.clone_from(partitions),
            Arrival::Revoked(partitions) => {
                self.assigned.retain(|assigned| !partitions.contains(assigned));
                self.starts.retain(|partition, _| !partitions.contains(partition));
            }
            Arrival::Record(..) | Arrival::Stopped { .. } => {}
        }
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
            // What was fetched before a rebalance may come in one answer with it, or never.
            let is_fetched = notices.is_empty() || self.world.choices.borrow_mut().below(2) == 1;
            let mut arrivals = if is_fetched { self.take(max) } else { Vec::new() };
            if !arrivals.is_empty() && !notices.is_empty() {
                self.world.saw("records and a rebalance in one answer");
            }
            notices.iter().for_each(|notice| self.heed(notice));
            arrivals.extend(notices);
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
        self.inbox.borrow_mut().has_left = topics.is_empty();
        if topics.is_empty() {
            return self.leave();
        }
        let mut broker = self.world.broker.borrow_mut();
        if broker.cut_off.contains(&self.life) {
            return;
        }
        let known = broker.group.members.iter_mut().find(|member| member.life == self.life);
        let is_known = known.map(|member| member.topics = topics.to_vec()).is_some();
        drop(broker);
        if !is_known {
            let (alive, inbox) = (Rc::clone(&self.alive), Rc::clone(&self.inbox));
            join(&self.world, Member { life: self.life, alive, topics: topics.to_vec(), inbox, given: Vec::new() });
        }
        self.world.carry(self.world.delay(0, 300), rebalance);
    }

    fn assignment(&self) -> Vec<Partition> {
        self.assigned.clone()
    }

    fn start(&mut self, starts: Vec<(Partition, i64)>) {
        self.read_up_to = None;
        self.starts = starts.into_iter().collect();
    }

    fn emit(&mut self, tag: Tag, records: impl IntoIterator<Item = Outgoing>) {
        let mut parcels: BTreeMap<Place, Vec<(usize, Outgoing)>> = BTreeMap::new();
        for (index, record) in records.into_iter().enumerate() {
            let place = self.world.broker.borrow().place(&record.topic, record.key.as_bytes());
            parcels.entry((Arc::clone(&record.topic), place)).or_default().push((index, record));
        }
        self.inbox.borrow_mut().next_tag = tag + 1;
        self.inbox.borrow_mut().under_way += parcels.len();
        for (place, records) in parcels {
            let (life, alive, inbox) = (self.life, Rc::clone(&self.alive), Rc::clone(&self.inbox));
            let delay = self.world.delay(0, 8);
            post(&self.world, delay, Parcel { life, alive, inbox, tag, place, records });
        }
    }

    fn delivered(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.inbox.borrow_mut().deliveries)
    }

    fn forget(&mut self) {
        let mut inbox = self.inbox.borrow_mut();
        inbox.deliveries.clear();
        inbox.first_tag = inbox.next_tag;
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

    async fn ahead(&mut self, partition: &Partition, from: i64, _at_most: Duration) -> Result<Ahead, BusError> {
        self.ask("look for records").await?;
        let broker = self.world.broker.borrow();
        let Some(log) = broker.log(partition) else { return Ok(Ahead::Records) };
        Ok(match log.refuses(from) {
            Some(reason) => Ahead::Outside { reason },
            None if log.between(from, i64::MAX).iter().all(Option::is_none) => Ahead::Empty { end: log.end() },
            None => Ahead::Records,
        })
    }

    async fn first_offset(&mut self, partition: &Partition, from: From) -> Result<i64, BusError> {
        self.ask("ask where a partition begins").await?;
        let broker = self.world.broker.borrow();
        let Some(log) = broker.log(partition) else { return Ok(0) };
        Ok(match from {
            From::Earliest => log.begin,
            From::Latest => log.end(),
            From::Time(moment) => {
                let is_earlier = |record: &&Option<sagabus::wire::Record>| {
                    record.as_ref().is_none_or(|record| record.timestamp() < moment)
                };
                let earlier = log.between(log.begin, i64::MAX).iter().take_while(is_earlier).count();
                log.begin + i64::try_from(earlier).unwrap_or(i64::MAX)
            }
        })
    }
}

/// A parcel goes to the broker, behind those to the same partition that went before.
fn post(world: &Rc<World>, delay: i64, parcel: Parcel) {
    let mut inbox = parcel.inbox.borrow_mut();
    let last = inbox.last_sent.entry(parcel.place.clone()).or_insert(0);
    *last = (*last).max(world.now() + delay);
    let delay = *last - world.now();
    drop(inbox);
    world.carry(delay, move |world| arrive(world, parcel));
}

/// A parcel reaches the broker, or does not.
fn arrive(world: &Rc<World>, parcel: Parcel) {
    let (away, is_cut_off) = {
        let broker = world.broker.borrow();
        (broker.away_until - world.now(), broker.cut_off.contains(&parcel.life))
    };
    let knobs = world.knobs.borrow().clone();
    if is_cut_off {
        return;
    }
    if !parcel.alive.get() && (away > 0 || world.happens(knobs.lost_with_process)) {
        world.saw("batch lost with its process");
        return;
    }
    let is_forgotten = parcel.tag < parcel.inbox.borrow().first_tag;
    if is_forgotten && world.choices.borrow_mut().below(2) == 1 {
        world.saw("batch forgotten before it left");
        parcel.inbox.borrow_mut().under_way -= 1;
        return;
    }
    if away > 0 {
        let delay = away + world.delay(0, 500);
        return post(world, delay, parcel);
    }
    let mut kept = Vec::new();
    for (index, record) in &parcel.records {
        let is_command = record.headers.get("ce_sagaaction").is_some();
        let is_large = record.value.get().len() > RECORD_MAX;
        if is_large || is_command && world.happens(knobs.refused) {
            world.saw("command refused by the broker");
            let saga = record.headers.get("ce_correlationid");
            world.broker.borrow_mut().refused.extend(saga.and_then(|id| id.parse::<Uuid>().ok()));
            let (tag, index, error) = (parcel.tag, *index, "refused".to_owned());
            let record = Box::new(record.clone());
            parcel.inbox.borrow_mut().deliveries.push(Delivery::Refused { tag, index, error, record });
        } else {
            kept.push((*index, record.clone()));
        }
    }
    kept.iter().for_each(|(_, record)| append_sent(world, record));
    if world.happens(knobs.sent_twice) {
        // The acknowledgement was lost, and the client wrote it again.
        world.saw("batch written twice");
        let again = kept.clone();
        world.carry(world.delay(1, 200), move |world| again.iter().for_each(|(_, record)| append_sent(world, record)));
    }
    let delay = world.delay(0, 60);
    world.carry(delay, move |world| acknowledge(world, &parcel, &kept));
}

/// The engine's client hears of a parcel, record by record.
fn acknowledge(world: &Rc<World>, parcel: &Parcel, kept: &[(usize, Outgoing)]) {
    let mut broker = world.broker.borrow_mut();
    for (_, record) in kept {
        let id = record.headers.get("ce_id").and_then(|id| id.parse().ok());
        _ = id.map(|id: Uuid| broker.unacknowledged.remove(&id));
    }
    drop(broker);
    let mut inbox = parcel.inbox.borrow_mut();
    inbox.under_way -= 1;
    if inbox.under_way > 0 {
        world.saw("batch acknowledged in parts");
    }
    let acknowledged = kept.iter().map(|(index, _)| Delivery::Acknowledged { tag: parcel.tag, index: *index });
    inbox.deliveries.extend(acknowledged);
    drop(inbox);
    world.wake(parcel.life, 100);
}
