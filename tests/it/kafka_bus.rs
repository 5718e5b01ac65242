//! What only real Kafka shows of the bus: pauses, truncated logs, consumers that fence each other, a full queue. Needs `scripts/services up`.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sagabus::bus::{Admin, Ahead, Arrival, Bus, KafkaBus, KafkaSettings, LogReader, Producer, Purpose, TopicNeed};
use sagabus::core::{Json, Partition};
use sagabus::engine::wall_clock;
use sagabus::wire::{self, Outgoing};

use super::support::served::bootstrap;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(10);
/// More than the reader collects before it pauses: three hand-overs.
const MANY: usize = 14_000;

async fn topic(name: &str, partitions: i32) -> Arc<str> {
    let need = TopicNeed { name: format!("{name}-{}", std::process::id()), purpose: Purpose::Trigger };
    let settings = KafkaSettings::new(&bootstrap(), "nobody", None);
    Admin::connect(&settings).unwrap().ensure(std::slice::from_ref(&need), partitions, 1).await.unwrap();
    Arc::from(need.name)
}

fn record(topic: &str, key: &str) -> Outgoing {
    wire::new_trigger(topic, key, "t", "i", "/test", Json::empty_object())
}

fn publish(records: Vec<Outgoing>) {
    let mut producer = Producer::new(&KafkaSettings::new(&bootstrap(), "publisher", None)).unwrap();
    producer.emit(1, records);
    let until = wall_clock().plus_millis(20_000);
    while producer.unacknowledged() > 0 {
        assert!(wall_clock() < until, "the broker takes it");
        _ = producer.delivered();
    }
}

async fn connected(topic: &Arc<str>, instance: Option<&str>) -> KafkaBus {
    let settings = KafkaSettings::new(&bootstrap(), topic, instance.map(str::to_owned));
    let mut bus = KafkaBus::connect(&settings).unwrap();
    bus.subscribe(std::slice::from_ref(topic));
    until(&mut bus, |found| found.iter().any(|arrival| matches!(arrival, Arrival::Assigned(_)))).await;
    bus
}

/// What arrives, until it is enough.
async fn until(bus: &mut KafkaBus, is_enough: impl Fn(&[Arrival]) -> bool) -> Vec<Arrival> {
    let until = wall_clock().plus_millis(25_000);
    let mut found = Vec::new();
    while !is_enough(&found) {
        assert!(wall_clock() < until, "{} arrivals, the last {:?}", found.len(), found.last());
        found.extend(bus.arrived(1_000, SHORT).await);
    }
    found
}

fn records(found: &[Arrival]) -> impl Iterator<Item = (i32, i64)> {
    found.iter().filter_map(|arrival| match arrival {
        Arrival::Record(record, _) => Some((record.partition(), record.offset())),
        Arrival::Assigned(_) | Arrival::Revoked(_) | Arrival::Stopped { .. } => None,
    })
}

/// The reader reads until it pauses, since nobody takes what it has; or it has heard that it begins anew, although nobody has yet.
async fn until_behind(bus: &KafkaBus, is_behind: bool) {
    let until = wall_clock().plus_millis(25_000);
    while bus.is_behind() != is_behind {
        assert!(wall_clock() < until, "the reader pauses: {is_behind}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_ends_with_its_assignment() {
    let topic = topic("paused", 1).await;
    publish((0..MANY).map(|_| record(&topic, "k")).collect());
    let mut bus = connected(&topic, None).await;
    let partition: Partition = (Arc::clone(&topic), 0);
    bus.start(vec![(partition.clone(), 0)]);
    until_behind(&bus, true).await;
    // As after an outage of the database: the engine seeks.
    bus.start(vec![(partition, 0)]);
    until_behind(&bus, false).await;
    let found = until(&mut bus, |found| records(found).count() >= MANY).await;
    assert!(records(&found).map(|(_, offset)| offset).eq(0..14_000), "all of them, in order, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_of_which_nothing_is_wanted_lets_time_pass_although_records_wait() {
    let topic = topic("unwanted", 1).await;
    publish((0..100).map(|_| record(&topic, "k")).collect());
    let mut bus = connected(&topic, None).await;
    bus.start(vec![((Arc::clone(&topic), 0), 0)]);
    let until = wall_clock().plus_millis(25_000);
    while bus.arrived(1, SHORT).await.is_empty() {
        assert!(wall_clock() < until, "the first record arrives");
    }
    let since = std::time::Instant::now();
    assert_eq!(bus.arrived(0, SHORT).await.len(), 0);
    assert!(since.elapsed() >= SHORT, "an engine whose broker is behind would spin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_truncated_while_it_is_read_stops_its_partition_alone() {
    let topic = topic("truncated", 2).await;
    // Two keys that Kafka's hash sends to two partitions.
    publish((0..MANY).map(|_| record(&topic, "k")).collect());
    let mut bus = connected(&topic, None).await;
    let held = bus.ends(&topic, LONG).await.unwrap().into_iter().max_by_key(|(_, end)| *end).unwrap().0;
    let (full, other): (Partition, Partition) = ((Arc::clone(&topic), held), (Arc::clone(&topic), 1 - held));
    bus.start(vec![(full.clone(), 0), (other.clone(), 0)]);
    until_behind(&bus, true).await;
    truncate(&full, 13_990).await;
    let ahead = bus.ahead(&full, 100, LONG).await;
    assert!(matches!(ahead, Ok(Ahead::Outside { .. })), "what lies below the log is no end: {ahead:?}");
    let is_stopped = |found: &[Arrival]| {
        found.iter().any(|arrival| matches!(arrival, Arrival::Stopped { partition, .. } if *partition == full))
    };
    let found = until(&mut bus, is_stopped).await;
    assert!(records(&found).all(|(partition, offset)| partition == held && offset < 13_990), "it skips nothing");
    let key = (0..50).map(|n| format!("k{n}")).find(|key| lands_on(&topic, key, other.1)).expect("a key for the other");
    let found = until(&mut bus, |found| records(found).any(|(partition, _)| partition == other.1)).await;
    assert!(!is_stopped(&found), "the other goes on after {key}");
}

/// Publishes with this key; true when it went to this partition.
fn lands_on(topic: &Arc<str>, key: &str, partition: i32) -> bool {
    let admin = Admin::connect(&KafkaSettings::new(&bootstrap(), "nobody", None)).unwrap();
    let end = |admin: &Admin| {
        let marks = admin.watermarks(topic).unwrap();
        marks.iter().find(|(number, ..)| *number == partition).map(|(.., end)| *end).unwrap()
    };
    let before = end(&admin);
    publish(vec![record(topic, key)]);
    end(&admin) > before
}

async fn truncate((topic, partition): &Partition, to: i64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap());
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, *partition, Offset::Offset(to)).unwrap();
    admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_its_namesake_has_fenced_rests_and_joins_again_when_that_one_is_gone() {
    let topic = topic("fenced", 1).await;
    let mut old = connected(&topic, Some("one")).await;
    let young = connected(&topic, Some("one")).await;
    let begun = wall_clock();
    let mut calls = 0;
    let is_revoked = |found: &[Arrival]| found.iter().any(|arrival| matches!(arrival, Arrival::Revoked(_)));
    while !is_revoked(&old.arrived(10, SHORT).await) {
        calls += 1;
        assert!(wall_clock().millis_since(begun) < 30_000, "it notices that it was fenced");
    }
    let most = wall_clock().millis_since(begun) / 50 + 20;
    assert!(calls <= most, "a bus without a reader rests between its looks: {calls} calls, {most} at most");
    drop(young);
    let found = until(&mut old, |found| found.iter().any(|arrival| matches!(arrival, Arrival::Assigned(_)))).await;
    assert!(!found.is_empty());
    old.start(vec![((Arc::clone(&topic), 0), 0)]);
    publish(vec![record(&topic, "k")]);
    until(&mut old, |found| records(found).count() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_queue_has_no_room_for_waits_is_told_and_keeps_its_order() {
    let topic = topic("cramped", 1).await;
    let settings =
        KafkaSettings::new(&bootstrap(), "publisher", None).with("queue.buffering.max.messages", "5").unwrap();
    let mut producer = Producer::new(&settings).unwrap();
    let recorder = PrometheusBuilder::new().build_recorder();
    let key = |number: u64| format!("k{number}");
    metrics::with_local_recorder(&recorder, || {
        for tag in 0..20 {
            producer.emit(tag, (tag * 50..tag * 50 + 50).map(|number| record(&topic, &key(number))));
        }
    });
    let is_told_once = || {
        let told = recorder.handle().render();
        assert!(told.contains("sagabus_producer_queue_full_total 1\n"), "{told}");
    };
    is_told_once();
    let until = wall_clock().plus_millis(25_000);
    let mut acknowledged = 0;
    while producer.unacknowledged() > 0 {
        assert!(wall_clock() < until, "{acknowledged} of 1000 are acknowledged");
        acknowledged += metrics::with_local_recorder(&recorder, || producer.delivered()).len();
    }
    is_told_once();
    assert_eq!(acknowledged, 1_000);
    let log = LogReader::open(&settings, &topic, 0, None, None).unwrap().take(2_000).unwrap();
    let keys = log.iter().map(|record| String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned());
    assert!(keys.eq((0..1_000).map(key)), "each once, in the order in which they were sent");
}
