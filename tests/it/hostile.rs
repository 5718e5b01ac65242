//! 100,000 hostile records among good ones, in memory and on real Kafka (`scripts/services up`): each is counted with its verdict, what
//! is to be parked is parked, good ones go on, memory stays flat.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sagabus::core::{Phase, Timestamp, Verdict};
use sagabus::engine::wall_clock;
use sagabus::wire::{self, Outgoing};

use super::support::participants::Behaviour;
use super::support::served::{Served, bootstrap};
use super::support::world::{MemoryWorld, trigger_data};

const HOSTILE: usize = 100_000;
const GOOD: usize = 200;

/// Resident memory of a process, in KiB.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The `n`-th hostile record: topic, key, value, headers, and the verdict that it must get.
type Hostile = (Side, Vec<u8>, Option<Vec<u8>>, Vec<(String, Vec<u8>)>, Verdict);

/// Which topic of the definition a record goes to.
#[derive(Clone, Copy)]
enum Side {
    Triggers,
    Replies,
}

fn header(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_bytes().to_vec())
}

fn reply_headers(saga: &str, command: &str, outcome: &str) -> Vec<(String, Vec<u8>)> {
    vec![
        header("ce_specversion", "1.0"),
        header("ce_id", "r1"),
        header("ce_source", "/x"),
        header("ce_type", "x"),
        header("ce_correlationid", saga),
        header("ce_causationid", command),
        header("ce_sagaoutcome", outcome),
    ]
}

const UUID: &str = "0199d3a0-7c1e-7b52-9a41-6f0c2d9e11aa";
const TRIGGERS: &str = "orders.events";
const REPLIES: &str = "trade-settlement.replies";

fn hostile(n: usize, trigger_type: &str) -> Hostile {
    let accepted = || vec![header("ce_type", trigger_type)];
    let key = format!("h{n}").into_bytes();
    match n % 16 {
        0 => (Side::Triggers, key, Some(b"not json".to_vec()), accepted(), Verdict::Malformed),
        1 => (Side::Triggers, key, Some(b"{}".to_vec()), Vec::new(), Verdict::Ignored),
        2 => (Side::Triggers, key, None, accepted(), Verdict::Malformed),
        3 => (Side::Triggers, key, Some(Vec::new()), accepted(), Verdict::Malformed),
        4 => (Side::Triggers, key, Some(b"{\"orderId\":7}".to_vec()), accepted(), Verdict::Malformed),
        5 => (
            Side::Triggers,
            key,
            Some(b"{}".to_vec()),
            vec![header("ce_type", "a"), header("CE_TYPE", "b")],
            Verdict::Malformed,
        ),
        6 => (Side::Triggers, key, Some(b"{}".to_vec()), vec![header("ce_type", "something.else")], Verdict::Ignored),
        7 => (Side::Replies, key, Some(b"{}".to_vec()), Vec::new(), Verdict::Malformed),
        8 => (Side::Replies, key, Some(b"{}".to_vec()), reply_headers(UUID, UUID, "success"), Verdict::Orphan),
        9 => (Side::Replies, key, Some(b"{}".to_vec()), reply_headers("nobody", UUID, "success"), Verdict::Malformed),
        10 => (Side::Replies, key, Some(b"{}".to_vec()), reply_headers(UUID, UUID, "perhaps"), Verdict::Malformed),
        11 => {
            (Side::Replies, key, Some(b"\xff\xfe".to_vec()), reply_headers(UUID, UUID, "success"), Verdict::Malformed)
        }
        12 => (
            Side::Replies,
            key,
            Some("[".repeat(90_000 / 1_000).into_bytes()),
            reply_headers(UUID, UUID, "success"),
            Verdict::Malformed,
        ),
        13 if n % 1_600 == 13 => {
            (Side::Replies, key, Some(vec![b'x'; 1_048_577]), reply_headers(UUID, UUID, "success"), Verdict::Malformed)
        }
        14 if n % 1_600 == 14 => {
            let many = (0..10_000).map(|n| header(&format!("h{n}"), "x")).collect();
            (Side::Replies, key, Some(b"{}".to_vec()), many, Verdict::Malformed)
        }
        13 | 14 => (
            Side::Replies,
            key,
            Some(b"{}".to_vec()),
            vec![header("ce_id", "\0"), header("ce_type", "<script>")],
            Verdict::Malformed,
        ),
        _ => {
            let structured = vec![header("content-type", "application/CloudEvents+json; charset=utf-8")];
            (Side::Triggers, key, Some(br#"{"type":"a","type":"b"}"#.to_vec()), structured, Verdict::Malformed)
        }
    }
}

#[tokio::test]
async fn a_hundred_thousand_hostile_records_harm_nobody_in_memory() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    let plan =
        Arc::clone(world.world.plans.iter().find(|plan| &*plan.definition().name == "trade-settlement").unwrap());
    let broker = world.world.broker.clone();
    world.run(100).await;
    let (mut expected, mut after_warm_up) = ([0_i64; 7], 0);
    for n in 0..HOSTILE {
        let (side, key, value, headers, verdict) = hostile(n, "order.accepted");
        let topic = match side {
            Side::Triggers => TRIGGERS,
            Side::Replies => REPLIES,
        };
        let headers: Vec<(&str, Option<&[u8]>)> =
            headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice()))).collect();
        broker.publish_raw(topic, Some(&key), value.as_deref(), &headers);
        expected[Verdict::ALL.iter().position(|other| *other == verdict).unwrap()] += 1;
        if n % (HOSTILE / GOOD) == 0 {
            publish(&mut world, &plan, &format!("good-{n}"), n % 1_000 == 0);
            expected[0] += 1;
        }
        if n % 5_000 == 4_999 {
            world.run(400).await;
        }
        if n == HOSTILE / 2 {
            after_warm_up = resident(std::process::id());
        }
    }
    world.run(3_000).await;
    let mut counted = [0_i64; 7];
    let mut gaps = 0;
    for partition in
        [TRIGGERS, REPLIES].into_iter().flat_map(|topic| [0, 1].map(|number| (Arc::<str>::from(topic), number)))
    {
        let (first, next, gap, counts) = world.database.offset(&partition).unwrap();
        assert_eq!(next - first, gap + counts.iter().sum::<i64>(), "the counts balance against the offsets");
        gaps += gap;
        counted.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    // Every good saga was answered five times.
    expected[0] += i64::try_from(GOOD).unwrap() * 5;
    assert_eq!((counted, gaps), (expected, 0));
    let sagas = world.sagas();
    assert_eq!(sagas.len(), GOOD);
    assert!(sagas.iter().all(|(saga, _)| saga.phase == Phase::Completed), "good ones are unharmed");
    let parked = world.database.parked();
    let to_be_parked = expected[5] + expected[6];
    assert_eq!(parked.len(), usize::try_from(to_be_parked).unwrap());
    assert!(
        parked
            .iter()
            .all(|message| message.reason.starts_with("malformed: ") || message.reason.starts_with("orphan: "))
    );
    // The store in here keeps what was parked: what the second half added beyond that is the engine's.
    let kept: usize =
        parked.iter().map(|message| message.value.as_ref().map_or(0, Vec::len) + message.headers.len() + 300).sum();
    let grown = resident(std::process::id()).saturating_sub(after_warm_up);
    println!(
        "{HOSTILE} hostile records: {counted:?}, resident memory grew by {grown} KiB, parked {} KiB",
        kept / 1_024
    );
}

fn publish(world: &mut MemoryWorld, plan: &sagabus::definition::Compiled, key: &str, at_epoch: bool) {
    if at_epoch {
        // A record with timestamp 0 is a record.
        world.world.broker.set_now(Timestamp::ZERO);
    }
    let definition = plan.definition();
    let record: Outgoing =
        wire::new_trigger(&definition.trigger_topic, key, &definition.trigger_type, key, "/test", trigger_data(key));
    world.world.broker.publish(&record);
    world.world.broker.set_now(world.now);
}

/// Memory may grow by this much while the second half is read, in KiB.
const FLAT: u64 = 32 * 1_024;

fn send(producer: &BaseProducer, topic: &str, key: &[u8], value: Option<&[u8]>, headers: &[(String, Vec<u8>)]) {
    let mut owned = OwnedHeaders::new_with_capacity(headers.len());
    for (name, value) in headers {
        owned = owned.insert(Header { key: name, value: Some(value) });
    }
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).key(key).headers(owned);
    if let Some(value) = value {
        record = record.payload(value);
    }
    while let Err((error, again)) = producer.send(record) {
        assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull));
        producer.poll(Duration::from_millis(10));
        record = again;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_hostile_records_harm_nobody_on_real_kafka() {
    let served = Served::start("hostile").await;
    let (triggers, replies) = (format!("{}.triggers", served.name), format!("{}.replies", served.name));
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap())
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("message.max.bytes", "2000000");
    let producer: BaseProducer = config.create().unwrap();
    let (mut expected, mut at_half) = ([0_i64; 7], 0);
    let read = async |count: usize| {
        let read = "SELECT coalesce(sum(next_offset - first_offset), 0)::bigint FROM input_offset";
        let until = wall_clock().plus_millis(120_000);
        while served.count(read).await < i64::try_from(count).unwrap() {
            assert!(wall_clock() < until, "they are read");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    for n in 0..HOSTILE {
        let (side, key, value, headers, verdict) = hostile(n, "go");
        let topic = match side {
            Side::Triggers => &triggers,
            Side::Replies => &replies,
        };
        send(&producer, topic, &key, value.as_deref(), &headers);
        expected[Verdict::ALL.iter().position(|other| *other == verdict).unwrap()] += 1;
        if n % (HOSTILE / GOOD) == 0 {
            let data = format!(r#"{{"id":"good-{n}"}}"#);
            send(&producer, &triggers, b"good", Some(data.as_bytes()), &[header("ce_type", "go")]);
            // Its trigger and two answers.
            expected[0] += 3;
        }
        if n == HOSTILE / 2 {
            read(n).await;
            at_half = resident(served.engine.id());
        }
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    let all = usize::try_from(expected.iter().sum::<i64>()).unwrap();
    read(all).await;
    let completed = format!("SELECT count(*) FROM saga WHERE phase = {}", Phase::Completed.number());
    served
        .until("good ones are unharmed", || async { served.count(&completed).await == i64::try_from(GOOD).unwrap() })
        .await;
    for (verdict, expected) in Verdict::ALL.into_iter().zip(expected) {
        let counted = served.count(&format!("SELECT sum({})::bigint FROM input_offset", verdict.name())).await;
        // A slow moment makes the engine ask again, and the participant answer again.
        assert!(counted == expected || verdict == Verdict::Duplicate, "{verdict:?}: {counted}, not {expected}");
    }
    let parked = served.count("SELECT count(*) FROM parked_message").await;
    assert_eq!(parked, expected[5] + expected[6]);
    let listed = served.json(&["parked", "list", "--limit", "7", "--output", "json"]);
    assert_eq!(listed.as_array().unwrap().len(), 7);
    // What is in hand, two times 16 MiB, goes when there is nothing more to read; what was kept of each record would not.
    let grown = || resident(served.engine.id()).saturating_sub(at_half);
    served.until("memory is flat", || async { grown() < FLAT }).await;
    println!(
        "{HOSTILE} hostile records: {parked} parked, resident memory {at_half} KiB at half, then {} KiB more",
        grown()
    );
}
