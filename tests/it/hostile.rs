//! 100,000 hostile records among good ones, in memory: each is counted with its verdict, what is to be parked is parked, good ones go on.

use std::sync::Arc;

use sagabus::core::{Phase, Timestamp, Verdict};
use sagabus::wire::{self, Outgoing};

use super::support::participants::Behaviour;
use super::support::world::{MemoryWorld, trigger_data};

const HOSTILE: usize = 100_000;
const GOOD: usize = 200;

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The `n`-th hostile record: topic, key, value, headers, and the verdict that it must get.
type Hostile = (&'static str, Vec<u8>, Option<Vec<u8>>, Vec<(String, Vec<u8>)>, Verdict);

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

fn hostile(n: usize) -> Hostile {
    let accepted = || vec![header("ce_type", "order.accepted")];
    let key = format!("h{n}").into_bytes();
    match n % 16 {
        0 => (TRIGGERS, key, Some(b"not json".to_vec()), accepted(), Verdict::Malformed),
        1 => (TRIGGERS, key, Some(b"{}".to_vec()), Vec::new(), Verdict::Ignored),
        2 => (TRIGGERS, key, None, accepted(), Verdict::Malformed),
        3 => (TRIGGERS, key, Some(Vec::new()), accepted(), Verdict::Malformed),
        4 => (TRIGGERS, key, Some(b"{\"orderId\":7}".to_vec()), accepted(), Verdict::Malformed),
        5 => (
            TRIGGERS,
            key,
            Some(b"{}".to_vec()),
            vec![header("ce_type", "a"), header("CE_TYPE", "b")],
            Verdict::Malformed,
        ),
        6 => (TRIGGERS, key, Some(b"{}".to_vec()), vec![header("ce_type", "something.else")], Verdict::Ignored),
        7 => (REPLIES, key, Some(b"{}".to_vec()), Vec::new(), Verdict::Malformed),
        8 => (REPLIES, key, Some(b"{}".to_vec()), reply_headers(UUID, UUID, "success"), Verdict::Orphan),
        9 => (REPLIES, key, Some(b"{}".to_vec()), reply_headers("nobody", UUID, "success"), Verdict::Malformed),
        10 => (REPLIES, key, Some(b"{}".to_vec()), reply_headers(UUID, UUID, "perhaps"), Verdict::Malformed),
        11 => (REPLIES, key, Some(b"\xff\xfe".to_vec()), reply_headers(UUID, UUID, "success"), Verdict::Malformed),
        12 => (
            REPLIES,
            key,
            Some("[".repeat(90_000 / 1_000).into_bytes()),
            reply_headers(UUID, UUID, "success"),
            Verdict::Malformed,
        ),
        13 if n % 1_600 == 13 => {
            (REPLIES, key, Some(vec![b'x'; 1_048_577]), reply_headers(UUID, UUID, "success"), Verdict::Malformed)
        }
        14 if n % 1_600 == 14 => {
            let many = (0..10_000).map(|n| header(&format!("h{n}"), "x")).collect();
            (REPLIES, key, Some(b"{}".to_vec()), many, Verdict::Malformed)
        }
        13 | 14 => (
            REPLIES,
            key,
            Some(b"{}".to_vec()),
            vec![header("ce_id", "\0"), header("ce_type", "<script>")],
            Verdict::Malformed,
        ),
        _ => {
            let structured = vec![header("content-type", "application/CloudEvents+json; charset=utf-8")];
            (TRIGGERS, key, Some(br#"{"type":"a","type":"b"}"#.to_vec()), structured, Verdict::Malformed)
        }
    }
}

#[tokio::test]
async fn a_hundred_thousand_hostile_records_harm_nobody() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    let plan =
        Arc::clone(world.world.plans.iter().find(|plan| &*plan.definition().name == "trade-settlement").unwrap());
    let broker = world.world.broker.clone();
    world.run(100).await;
    let (mut expected, mut after_warm_up) = ([0_i64; 7], 0);
    for n in 0..HOSTILE {
        let (topic, key, value, headers, verdict) = hostile(n);
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
            after_warm_up = resident();
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
    let grown = resident().saturating_sub(after_warm_up);
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
