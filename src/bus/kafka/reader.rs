//! The consumer's own thread: it polls, decodes and hands over, and does nothing else. What the engine wants of it comes as
//! orders; what happens to it goes up as arrivals, in order.
//!
//! ```text
//! rebalance: assign  --> assign nothing --> Arrival::Assigned --> engine reads Postgres --> Order::Start --> assign(offsets)
//! rebalance: revoke  --> unassign       --> Arrival::Revoked
//! channel full       --> pause, keep polling, resume when there is room
//! ```

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::core::{Partition, Timestamp};
use crate::wire::{Event, Record, RecordHead};

use super::super::Arrival;
use super::lost::Lost;
use super::settings::KafkaSettings;

/// Records handed over together at most. While the engine is busy they are collected up to this; only then are the partitions paused,
/// since pausing throws away what was fetched ahead.
const HAND_OVER: usize = 4_000;
/// The same in bytes: large records must not fill the memory (P11).
const HAND_OVER_BYTES: usize = 16 * 1_024 * 1_024;
/// Hand-overs that wait for the engine at most.
const WAITING: usize = 2;
/// How long a poll waits; orders are heard that late at most.
const POLL: Duration = Duration::from_millis(20);
/// The same while something waits to be handed over.
const POLL_WAITING: Duration = Duration::from_millis(1);

/// What the engine wants of the reader.
#[derive(Debug)]
pub(super) enum Order {
    Subscribe(Vec<String>),
    /// Assign these offsets; what is handed over from now on belongs to this epoch.
    Start {
        epoch: u64,
        starts: Vec<(Partition, i64)>,
    },
    /// Tell the group where the engine stands, for lag dashboards.
    Progress(Vec<(Partition, i64)>),
    Quit,
}

/// What the reader tells.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are records: a box for each would cost more")]
pub(super) enum Told {
    Arrived(Arrival),
    /// A partition, the client does not say which, cannot be read from where it stands.
    OutsideLog,
}

/// What was told in one epoch, in order.
pub(super) type HandOver = (u64, Vec<Told>);

/// The engine's end of the reader.
#[derive(Debug)]
pub(super) struct Reader {
    orders: Sender<Order>,
    pub(super) told: mpsc::Receiver<HandOver>,
    pub(super) polled: Arc<AtomicU64>,
    /// True while nobody takes what was read, and the partitions are paused.
    pub(super) is_paused: Arc<AtomicBool>,
    /// Closed when the thread has ended and its client with it.
    ended: Receiver<()>,
}

/// How long a reader that is dropped may take to leave its group, so that the others need not wait for its session's end.
const LEAVE: Duration = Duration::from_secs(1);

impl Reader {
    pub(super) fn spawn(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let (orders, ordered) = channel();
        let (lives, ended) = channel();
        let (hand_over, told) = mpsc::channel(WAITING);
        let polled = Arc::new(AtomicU64::new(0));
        let is_paused = Arc::new(AtomicBool::new(false));
        let consumer = BaseConsumer::from_config_and_context(&Lost::told(settings.consumer()), Context::default())?;
        let thread = Thread {
            hand_over,
            consumer,
            orders: ordered,
            epoch: 0,
            topics: HashMap::new(),
            collected: Vec::new(),
            collected_bytes: 0,
            is_paused: Arc::clone(&is_paused),
            is_fatal: false,
            polled: Arc::clone(&polled),
            _lives: lives,
        };
        std::thread::Builder::new()
            .name("kafka-reader".to_owned())
            .spawn(move || thread.run())
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { orders, told, polled, is_paused, ended })
    }

    pub(super) fn order(&self, order: Order) {
        // A reader that has ended hears nothing; its closed channel tells the engine.
        _ = self.orders.send(order);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Closing a consumer may block for ever when the coordinator is gone: it happens on the reader's own thread.
        self.order(Order::Quit);
        self.told.close();
        _ = self.ended.recv_timeout(LEAVE);
    }
}

/// Rebalances as they happen; the thread picks them up after each poll.
#[derive(Debug, Default)]
struct Context {
    notices: Mutex<Vec<Arrival>>,
    lost: Lost,
}

impl ClientContext for Context {
    fn stats_raw(&self, statistics: &[u8]) {
        self.lost.look(statistics);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions =
            list.elements().iter().map(|element| (Arc::from(element.topic()), element.partition())).collect();
        let notice = if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Nothing is read before the engine says from where; but the group must not wait for that, or one engine without its
            // database holds up every other one's partitions.
            if let Err(error) = consumer.assign(&TopicPartitionList::new()) {
                tracing::warn!(%error, "assignment not taken");
            }
            Arrival::Assigned(partitions)
        } else {
            if let Err(error) = consumer.unassign().and_then(|()| stops_done(consumer)) {
                // The client is being closed, mostly, and gives them back by itself.
                tracing::debug!(%error, "partitions not given back");
            }
            Arrival::Revoked(partitions)
        };
        self.notices.lock().expect("nothing panics while it holds the notices").push(notice);
    }
}

impl Context {
    fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.notices.lock().expect("nothing panics while it holds the notices"))
    }
}

struct Thread {
    /// The first field: the bus hears of this thread's end however long the client takes to close.
    hand_over: mpsc::Sender<HandOver>,
    consumer: BaseConsumer<Context>,
    orders: Receiver<Order>,
    epoch: u64,
    topics: HashMap<String, Arc<str>>,
    collected: Vec<Told>,
    collected_bytes: usize,
    is_paused: Arc<AtomicBool>,
    /// The client will never read again: this thread ends, and the bus makes a new one.
    is_fatal: bool,
    polled: Arc<AtomicU64>,
    /// The last field: dropped after the client.
    _lives: Sender<()>,
}

impl Thread {
    fn run(mut self) {
        loop {
            while let Ok(order) = self.orders.try_recv() {
                if matches!(order, Order::Quit) {
                    return;
                }
                self.obey(order);
            }
            self.poll();
            if self.consumer.context().lost.is_certain() {
                tracing::error!("consumer has lost its cluster for good");
                self.is_fatal = true;
            }
            if !self.pass_on() || self.is_fatal {
                return;
            }
            self.polled.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn obey(&mut self, order: Order) {
        let done = match order {
            Order::Subscribe(topics) if topics.is_empty() => {
                self.consumer.unsubscribe();
                Ok(())
            }
            Order::Subscribe(topics) => {
                let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
                self.consumer.subscribe(&topics)
            }
            Order::Start { epoch, starts } => {
                self.epoch = epoch;
                // What was read is read again; who owns what stays news.
                self.collected.retain(|told| matches!(told, Told::Arrived(Arrival::Assigned(_) | Arrival::Revoked(_))));
                self.collected_bytes = 0;
                self.is_paused.store(false, Ordering::Relaxed);
                list_of(&starts).and_then(|list| {
                    self.consumer.assign(&list)?;
                    stops_done(&self.consumer)?;
                    // A pause outlives its assignment in librdkafka: only an application's own resume ends it.
                    self.consumer.resume(&list)
                })
            }
            Order::Progress(positions) => {
                list_of(&positions).and_then(|list| self.consumer.commit(&list, rdkafka::consumer::CommitMode::Async))
            }
            Order::Quit => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "consumer did not do what was asked");
        }
    }

    /// Collects what has arrived, up to a hand-over. Only the first poll waits. While the engine is behind, polling goes on (the
    /// group must hear of us) and collects nothing but rebalances, since the partitions are paused.
    fn poll(&mut self) {
        let mut wait = if self.collected.is_empty() { POLL } else { POLL_WAITING };
        loop {
            let polled = self.consumer.poll(wait);
            let is_quiet = polled.is_none();
            match polled {
                Some(Ok(message)) => {
                    let (arrival, size) = arrival(&mut self.topics, &message);
                    self.collected.push(Told::Arrived(arrival));
                    self.collected_bytes += size;
                }
                Some(Err(error)) => self.failed(&error),
                None => {}
            }
            self.collected.extend(self.consumer.context().take().into_iter().map(Told::Arrived));
            if is_quiet || self.is_paused.load(Ordering::Relaxed) || self.is_full() {
                return;
            }
            wait = Duration::ZERO;
        }
    }

    fn is_full(&self) -> bool {
        self.collected.len() >= HAND_OVER || self.collected_bytes >= HAND_OVER_BYTES
    }

    /// Hands over, or pauses until there is room. False when nobody listens any more.
    fn pass_on(&mut self) -> bool {
        if self.collected.is_empty() {
            return !self.hand_over.is_closed();
        }
        match self.hand_over.try_send((self.epoch, std::mem::take(&mut self.collected))) {
            Ok(()) => {
                self.collected_bytes = 0;
                self.set_paused(false);
                true
            }
            Err(TrySendError::Full((_, told))) => {
                self.collected = told;
                self.set_paused(self.is_full());
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    fn set_paused(&mut self, is_paused: bool) {
        if self.is_paused.load(Ordering::Relaxed) == is_paused {
            return;
        }
        let done = self
            .consumer
            .assignment()
            .and_then(|list| if is_paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) });
        match done {
            Ok(()) => self.is_paused.store(is_paused, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, is_paused, "partitions not paused or resumed"),
        }
    }

    /// Most errors pass by themselves. Where an offset is outside the log, the bus finds out which one: the broker is asked, and
    /// this thread asks nothing.
    fn failed(&mut self, error: &KafkaError) {
        // Another consumer with this `group.instance.id` has joined, or the like: librdkafka never recovers from it.
        self.is_fatal |= matches!(error, KafkaError::MessageConsumptionFatal(_));
        let is_outside = matches!(
            error,
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
        );
        if is_outside {
            self.collected.push(Told::OutsideLog);
        } else {
            tracing::warn!(%error, "consumer");
        }
    }
}

/// Waits until the partitions that an assignment replaced have stopped. librdkafka 2.12 aborts the process when a partition is told
/// to stop twice before it has (`rd_kafka_assignment_partition_stopped`), so assignments must not overtake each other. Its main
/// thread serves one queue in order: the stops lie in it before the first question is answered, their replies before the second.
fn stops_done(consumer: &BaseConsumer<Context>) -> Result<(), KafkaError> {
    consumer.assignment()?;
    consumer.assignment()?;
    Ok(())
}

fn list_of(positions: &[(Partition, i64)]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for ((topic, partition), offset) in positions {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}

/// The record, and the bytes that it takes.
fn arrival(topics: &mut HashMap<String, Arc<str>>, message: &BorrowedMessage<'_>) -> (Arrival, usize) {
    let topic = match topics.get(message.topic()) {
        Some(topic) => Arc::clone(topic),
        None => {
            let topic = Arc::<str>::from(message.topic());
            topics.insert(message.topic().to_owned(), Arc::clone(&topic));
            topic
        }
    };
    let record = copy(topic, message);
    let event = Event::read(&record);
    let size = record.size();
    (Arrival::Record(record, event), size)
}

/// Copies a message. The client library panics on a header name that is not UTF-8; such a record is kept without its headers, and
/// so found malformed.
pub(super) fn copy(topic: Arc<str>, message: &BorrowedMessage<'_>) -> Record {
    let timestamp = message.timestamp().to_millis().map_or(Timestamp::ZERO, Timestamp::from_millis);
    let head = RecordHead { topic, partition: message.partition(), offset: message.offset(), timestamp };
    let copied = catch_unwind(AssertUnwindSafe(|| {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|header| (header.key, header.value));
        Record::new(head.clone(), message.key(), message.payload(), headers)
    }));
    copied.unwrap_or_else(|_| Record::unreadable(head, message.key(), message.payload()))
}
