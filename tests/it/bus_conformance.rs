//! What the engine may rely on, whatever bus it has: one list of rules, run on memory and on real Kafka (`scripts/services up`).

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sagabus::bus::{
    Admin, Ahead, Arrival, Bus, Delivery, From, KafkaBus, KafkaSettings, LogPlace, LogReader, MemoryBroker, Producer,
    Purpose, Tag, TopicNeed,
};
use sagabus::core::{Json, Partition};
use sagabus::engine::wall_clock;
use sagabus::wire::{self, Outgoing};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(10);

/// A broker to test a bus on.
trait Bench {
    type Bus: Bus;
    /// A new topic with this many partitions.
    async fn topic(&self, name: &str, partitions: usize) -> Arc<str>;
    /// Appends a record, acknowledged.
    fn publish(&self, record: Outgoing);
    /// Appends what a reader of committed records never sees: an offset or more without a record.
    fn abort(&self, partition: &Partition);
    /// Removes what lies before this offset, as retention does.
    async fn truncate(&self, partition: &Partition, before: i64);
    /// A bus that was told of its assignment: all partitions of the topic.
    async fn bus(&self, topic: &Arc<str>) -> Self::Bus;
}

struct InMemory(MemoryBroker);

impl Bench for InMemory {
    type Bus = sagabus::bus::MemoryBus;

    async fn topic(&self, name: &str, partitions: usize) -> Arc<str> {
        self.0.create(name, partitions);
        Arc::from(name)
    }

    fn publish(&self, record: Outgoing) {
        self.0.publish(&record);
    }

    fn abort(&self, partition: &Partition) {
        self.0.publish_marker(partition);
    }

    async fn truncate(&self, partition: &Partition, before: i64) {
        self.0.truncate(partition, before);
    }

    async fn bus(&self, topic: &Arc<str>) -> Self::Bus {
        let mut bus = self.0.connect(self.0.partitions());
        bus.subscribe(std::slice::from_ref(topic));
        assigned(&mut bus).await;
        bus
    }
}

struct OnKafka {
    settings: KafkaSettings,
    /// One for all that is published: a new one needs a second until its first record is on its way.
    producer: RefCell<Producer>,
}

impl OnKafka {
    fn new() -> Self {
        let bootstrap =
            std::env::var("SAGABUS_KAFKA").expect("scripts/services up, then eval \"$(scripts/services env)\"");
        let settings = KafkaSettings::new(&bootstrap, "nobody", None);
        let producer = RefCell::new(Producer::new(&settings).unwrap());
        Self { settings, producer }
    }
}

impl Bench for OnKafka {
    type Bus = KafkaBus;

    async fn topic(&self, name: &str, partitions: usize) -> Arc<str> {
        let need = TopicNeed { name: format!("{name}-{}", std::process::id()), purpose: Purpose::Trigger };
        let partitions = i32::try_from(partitions).unwrap();
        Admin::connect(&self.settings).unwrap().ensure(std::slice::from_ref(&need), partitions, 1).await.unwrap();
        Arc::from(need.name)
    }

    fn publish(&self, record: Outgoing) {
        let mut producer = self.producer.borrow_mut();
        producer.emit(1, vec![record]);
        let until = wall_clock().plus_millis(10_000);
        while producer.unacknowledged() > 0 {
            assert!(wall_clock() < until, "the broker takes it");
            std::thread::sleep(Duration::from_millis(1));
            _ = producer.delivered();
        }
    }

    fn abort(&self, (topic, partition): &Partition) {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.settings.bootstrap)
            .set("transactional.id", format!("{topic}-{partition}"));
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(LONG).unwrap();
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<str, str>::to(topic).partition(*partition).payload("never seen")).unwrap();
        producer.flush(LONG).unwrap();
        producer.abort_transaction(LONG).unwrap();
    }

    async fn truncate(&self, (topic, partition): &Partition, before: i64) {
        let mut config = ClientConfig::new();
        let admin: AdminClient<DefaultClientContext> =
            config.set("bootstrap.servers", &self.settings.bootstrap).create().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, *partition, Offset::Offset(before)).unwrap();
        let removed = admin.delete_records(&offsets, &AdminOptions::new()).await.unwrap();
        assert!(removed.elements().iter().all(|element| element.error().is_ok()), "{removed:?}");
    }

    async fn bus(&self, topic: &Arc<str>) -> KafkaBus {
        let mut bus = KafkaBus::connect(&self.settings.for_group(topic)).unwrap();
        bus.subscribe(std::slice::from_ref(topic));
        assigned(&mut bus).await;
        bus
    }
}

async fn assigned(bus: &mut impl Bus) {
    let found = arrivals(bus, |found| found.iter().any(|arrival| matches!(arrival, Arrival::Assigned(_)))).await;
    assert!(matches!(&found[..], [Arrival::Assigned(_)]), "{found:?}");
}

/// What arrives, until it is enough.
async fn arrivals(bus: &mut impl Bus, is_enough: impl Fn(&[Arrival]) -> bool) -> Vec<Arrival> {
    let until = wall_clock().plus_millis(20_000);
    let mut found = Vec::new();
    while !is_enough(&found) {
        assert!(wall_clock() < until, "{found:?}");
        found.extend(bus.arrived(1_000, SHORT).await);
    }
    found
}

/// The next `count` records, as partition and offset, in order of partition.
async fn records(bus: &mut impl Bus, count: usize) -> Vec<(i32, i64)> {
    let found = arrivals(bus, |found| found.len() >= count).await;
    let place = |arrival: &Arrival| match arrival {
        Arrival::Record(record, _) => (record.partition(), record.offset()),
        other => panic!("{other:?}"),
    };
    let mut places: Vec<(i32, i64)> = found.iter().map(place).collect();
    places.sort_by_key(|(partition, _)| *partition);
    places
}

fn record(topic: &str, key: &str, size: usize) -> Outgoing {
    let data = Json::parse(format!("\"{}\"", "x".repeat(size)).as_bytes()).unwrap();
    wire::new_trigger(topic, key, "t", "i", "/test", data)
}

async fn filled(bench: &impl Bench, name: &str, count: usize) -> Arc<str> {
    let topic = bench.topic(name, 1).await;
    (0..count).for_each(|_| bench.publish(record(&topic, "k", 10)));
    topic
}

async fn records_are_read_from_where_the_engine_says_and_none_of_a_former_start_arrives(bench: &impl Bench) {
    let topic = filled(bench, "starts", 10).await;
    let mut bus = bench.bus(&topic).await;
    let partition = (Arc::clone(&topic), 0);
    assert!(bus.arrived(10, SHORT).await.is_empty(), "nothing before it is started");
    bus.start(vec![(partition.clone(), 7)]);
    assert_eq!(records(&mut bus, 3).await, [(0, 7), (0, 8), (0, 9)]);
    // librdkafka aborts when such starts overtake each other.
    (0..200).for_each(|offset| bus.start(vec![(partition.clone(), offset % 4)]));
    bus.start(vec![(partition.clone(), 8)]);
    assert_eq!(records(&mut bus, 2).await, [(0, 8), (0, 9)]);
    bench.publish(record(&topic, "k", 10));
    assert_eq!(records(&mut bus, 1).await, [(0, 10)], "it goes on behind the end");
}

async fn a_partition_that_is_not_started_is_not_read(bench: &impl Bench) {
    let topic = bench.topic("halves", 2).await;
    (0..40).for_each(|number| bench.publish(record(&topic, &format!("k{number}"), 10)));
    let mut bus = bench.bus(&topic).await;
    assert_eq!(bus.assignment().len(), 2);
    assert!(bus.ends("nobody-made-this-topic", LONG).await.is_err(), "not a topic without records");
    let ends = bus.ends(&topic, LONG).await.unwrap();
    let held = usize::try_from(ends.iter().find(|(number, _)| *number == 1).unwrap().1).unwrap();
    assert!(held > 0 && held < 40, "both have some: {ends:?}");
    bus.start(vec![((Arc::clone(&topic), 1), 0)]);
    assert!(records(&mut bus, held).await.iter().all(|(partition, _)| *partition == 1));
    assert!(bus.arrived(10, SHORT).await.is_empty());
}

async fn a_partition_outside_its_log_is_reported_and_the_others_are_read(bench: &impl Bench) {
    let topic = bench.topic("outside", 2).await;
    (0..40).for_each(|number| bench.publish(record(&topic, &format!("k{number}"), 10)));
    let mut bus = bench.bus(&topic).await;
    let starts = |zero: i64| vec![((Arc::clone(&topic), 0), zero), ((Arc::clone(&topic), 1), 0)];
    bus.start(starts(5_000));
    let is_stopped = |arrival: &Arrival| matches!(arrival, Arrival::Stopped { partition, .. } if partition.1 == 0);
    let found = arrivals(&mut bus, |found| found.iter().any(is_stopped)).await;
    let others = found.iter().filter(|arrival| matches!(arrival, Arrival::Record(..))).count();
    bus.start(starts(0));
    let all = records(&mut bus, 40).await;
    assert_eq!(all.len(), 40, "after {others} records of the other one, both from their beginning");
}

async fn a_partition_whose_retention_passed_it_by_is_reported_and_begins_where_its_log_does(bench: &impl Bench) {
    let topic = bench.topic("retention", 2).await;
    (0..40).for_each(|number| bench.publish(record(&topic, &format!("k{number}"), 10)));
    let mut bus = bench.bus(&topic).await;
    let ends = bus.ends(&topic, LONG).await.unwrap();
    let end_of = |number: i32| ends.iter().find(|(found, _)| *found == number).unwrap().1;
    let (cut, whole) = ((Arc::clone(&topic), 0), (Arc::clone(&topic), 1));
    assert!(end_of(0) > 3 && end_of(1) > 0, "both have some: {ends:?}");
    bench.truncate(&cut, 3).await;
    assert_eq!(bus.first_offset(&cut, From::Earliest).await.unwrap(), 3);
    assert_eq!(bus.ends(&topic, LONG).await.unwrap(), ends, "ends stay");
    bus.start(vec![(cut.clone(), 1), (whole.clone(), 0)]);
    let is_stopped = |arrival: &Arrival| matches!(arrival, Arrival::Stopped { partition, .. } if *partition == cut);
    let found = arrivals(&mut bus, |found| found.iter().any(is_stopped)).await;
    assert!(!found.iter().any(|arrival| matches!(arrival, Arrival::Record(record, _) if record.partition() == 0)));
    bus.start(vec![(cut.clone(), 3), (whole, 0)]);
    let left = usize::try_from(end_of(0) - 3 + end_of(1)).unwrap();
    assert_eq!(records(&mut bus, left).await[0], (0, 3), "read from where the log begins");
}

async fn a_topic_that_is_not_subscribed_to_is_nobodys(bench: &impl Bench) {
    let topic = filled(bench, "subscribed", 3).await;
    let other = filled(bench, "other", 3).await;
    let mut bus = bench.bus(&topic).await;
    assert!(bus.assignment().iter().all(|(name, _)| *name == topic));
    bus.subscribe(std::slice::from_ref(&other));
    let is_of_other =
        |arrival: &Arrival| matches!(arrival, Arrival::Assigned(given) if given.iter().any(|(name, _)| *name == other));
    let found = arrivals(&mut bus, |found| found.iter().any(is_of_other)).await;
    let is_told = |arrival: &Arrival| matches!(arrival, Arrival::Revoked(gone) if gone[0].0 == topic);
    assert!(found.iter().any(is_told), "it hears what it has lost first: {found:?}");
    assert!(bus.assignment().iter().all(|(name, _)| *name == other));
}

async fn who_subscribes_to_nothing_has_nothing_until_it_subscribes_again(bench: &impl Bench) {
    let topic = filled(bench, "left", 3).await;
    let mut bus = bench.bus(&topic).await;
    let partition = (Arc::clone(&topic), 0);
    bus.start(vec![(partition.clone(), 0)]);
    assert_eq!(records(&mut bus, 3).await.len(), 3);
    bus.subscribe(&[]);
    let found = arrivals(&mut bus, |found| found.iter().any(|arrival| matches!(arrival, Arrival::Revoked(_)))).await;
    assert!(found.iter().all(|arrival| !matches!(arrival, Arrival::Record(..))), "{found:?}");
    assert!(bus.assignment().is_empty());
    bus.subscribe(std::slice::from_ref(&topic));
    let is_given = |arrival: &Arrival| matches!(arrival, Arrival::Assigned(given) if !given.is_empty());
    arrivals(&mut bus, |found| found.iter().any(is_given)).await;
    bus.start(vec![(partition, 1)]);
    assert_eq!(records(&mut bus, 2).await, [(0, 1), (0, 2)]);
}

async fn offsets_without_records_are_passed_over(bench: &impl Bench) {
    let topic = filled(bench, "markers", 2).await;
    let partition = (Arc::clone(&topic), 0);
    bench.abort(&partition);
    let mut bus = bench.bus(&topic).await;
    // The broker writes the marker after it has answered.
    let until = wall_clock().plus_millis(10_000);
    let mut end = 2;
    while end == 2 {
        assert!(wall_clock() < until, "aborted records take offsets");
        end = bus.ends(&topic, LONG).await.unwrap()[0].1;
    }
    assert_eq!(bus.ahead(&partition, 2, LONG).await.unwrap(), Ahead::Empty { end });
    assert_eq!(bus.ahead(&partition, 1, LONG).await.unwrap(), Ahead::Records, "a record is there");
    bench.publish(record(&topic, "k", 10));
    assert_eq!(bus.ahead(&partition, 2, LONG).await.unwrap(), Ahead::Records, "a record came");
    bus.start(vec![(partition, 0)]);
    assert_eq!(records(&mut bus, 3).await, [(0, 0), (0, 1), (0, end)]);
}

async fn a_topic_begins_where_it_is_told(bench: &impl Bench) {
    let topic = filled(bench, "begins", 3).await;
    let mut bus = bench.bus(&topic).await;
    let partition = (Arc::clone(&topic), 0);
    assert_eq!(bus.first_offset(&partition, From::Earliest).await.unwrap(), 0);
    assert_eq!(bus.first_offset(&partition, From::Latest).await.unwrap(), 3);
    bus.start(vec![(partition.clone(), 0)]);
    let found = arrivals(&mut bus, |found| found.len() >= 3).await;
    let Some(Arrival::Record(second, _)) = found.get(1) else { panic!("{found:?}") };
    let at = bus.first_offset(&partition, From::Time(second.timestamp())).await.unwrap();
    assert!(at <= 1, "the first record of that moment or later: {at}");
    let later = second.timestamp().plus_millis(3_600_000);
    assert_eq!(bus.first_offset(&partition, From::Time(later)).await.unwrap(), 3);
}

async fn each_record_is_acknowledged_or_refused_once_and_what_is_too_large_is_refused(bench: &impl Bench) {
    let topic = bench.topic("sent", 1).await;
    let mut bus = bench.bus(&topic).await;
    bus.emit(7, vec![record(&topic, "k", 10), record(&topic, "k", 1_300_000), record(&topic, "k", 10)]);
    bus.emit(8, (0..500).map(|_| record(&topic, "k", 100)));
    bus.flush(LONG).await;
    let found = bus.delivered();
    let is_large = |record: &Outgoing| record.value.get().len() >= 1_300_000;
    let is_refused =
        |one: &Delivery| matches!(one, Delivery::Refused { tag: 7, index: 1, record, .. } if is_large(record));
    assert_eq!(found.iter().filter(|one| is_refused(one)).count(), 1, "{found:?}");
    let acknowledged =
        |tag: Tag, index: usize| found.iter().filter(|one| **one == Delivery::Acknowledged { tag, index }).count();
    assert_eq!([0, 1, 2].map(|index| acknowledged(7, index)), [1, 0, 1], "{found:?}");
    assert!((0..500).all(|index| acknowledged(8, index) == 1), "{found:?}");
    assert!(bus.delivered().is_empty(), "said once");
    bus.start(vec![((Arc::clone(&topic), 0), 0)]);
    assert_eq!(records(&mut bus, 502).await.len(), 502, "what is acknowledged is there");
}

macro_rules! conformance {
    ($($rule:ident),* $(,)?) => {
        mod memory {
            use super::*;
            $(#[tokio::test] async fn $rule() { super::$rule(&InMemory(MemoryBroker::default())).await; })*
        }
        mod kafka {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() { super::$rule(&OnKafka::new()).await; })*
        }
    };
}

conformance! {
    records_are_read_from_where_the_engine_says_and_none_of_a_former_start_arrives,
    a_partition_that_is_not_started_is_not_read,
    a_partition_outside_its_log_is_reported_and_the_others_are_read,
    a_partition_whose_retention_passed_it_by_is_reported_and_begins_where_its_log_does,
    a_topic_that_is_not_subscribed_to_is_nobodys,
    who_subscribes_to_nothing_has_nothing_until_it_subscribes_again,
    offsets_without_records_are_passed_over,
    a_topic_begins_where_it_is_told,
    each_record_is_acknowledged_or_refused_once_and_what_is_too_large_is_refused,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stretch_of_a_log_is_read_over_its_markers_and_ends_where_nothing_else_is_left() {
    let bench = OnKafka::new();
    let topic = bench.topic("stretch", 1).await;
    let partition = (Arc::clone(&topic), 0);
    bench.publish(record(&topic, "a", 10));
    bench.abort(&partition);
    bench.publish(record(&topic, "b", 10));
    bench.abort(&partition);
    let read = move |from: Option<LogPlace>, to: Option<LogPlace>| {
        let mut log = LogReader::open(&bench.settings, &topic, 0, from, to).unwrap();
        let mut keys = Vec::new();
        loop {
            let page = log.take(1).unwrap();
            let Some(record) = page.first() else { return keys };
            keys.push(String::from_utf8(record.key().unwrap().to_vec()).unwrap());
        }
    };
    tokio::task::spawn_blocking(move || {
        assert_eq!(read(None, None), ["a", "b"]);
        assert_eq!(read(Some(LogPlace::Offset(1)), None), ["b"]);
        assert_eq!(read(None, Some(LogPlace::Offset(1))), ["a"]);
        assert_eq!(read(Some(LogPlace::Offset(4)), None), [""; 0]);
    })
    .await
    .unwrap();
}
