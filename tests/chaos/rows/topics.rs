//! B: what people do to topics while engines read them, and a backlog.

use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::admin::{AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::{Offset, TopicPartitionList};
use sagabus::bus::{Admin, KafkaSettings, Producer};
use sagabus::engine::wall_clock;
use sagabus::wire::Outgoing;

use super::super::audit::administrator;
use super::super::load::trigger;
use super::super::participants::STEPS;
use super::super::stage::{Groups, Stage, World, sagabus};
use super::Outcome;
use super::engine::odd_millis;
use super::kafka::{both_away, both_back};

fn admin(world: &World) -> Admin {
    Admin::connect(&KafkaSettings::new(&world.kafka, "chaos", None)).expect("Kafka answers")
}

/// New partitions are read from their beginning.
pub(super) async fn partitions_added(world: &mut World) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    stage.pass(2_000).await;
    let topics = [format!("{}.triggers", stage.name), format!("{}.replies", stage.name)];
    let more = topics.each_ref().map(|topic| NewPartitions::new(topic, 6));
    let made = administrator(world).create_partitions(&more, &AdminOptions::new()).await.expect("Kafka answers");
    let since = wall_clock();
    outcome.fired = u32::from(made.iter().all(Result::is_ok));
    for topic in topics {
        let read = format!(
            "SELECT count(*) FROM input_offset WHERE topic = '{topic}' AND partition >= 4 AND next_offset > first_offset"
        );
        // Clients hear of it when they next ask what there is, every 30 s.
        if stage.until(world, 90, &read, |count| count == 2).await.is_some() {
            outcome.recoveries.push(wall_clock().millis_since(since));
        }
    }
    outcome.finish(world, stage).await
}

/// The topic of a moment ago is another one: each partition stops, a person says where to go on, nothing is done twice.
pub(super) async fn topic_made_anew(world: &mut World) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    let topic = format!("{}.triggers", stage.name);
    stage.pass(5_000).await;
    stage.load.rest(true);
    let end: i64 = admin(world).watermarks(&topic).expect("Kafka answers").iter().map(|(.., end)| end).sum();
    let read = format!("SELECT sum(next_offset)::bigint FROM input_offset WHERE topic = '{topic}'");
    stage.until(world, 30, &read, |read| read >= end).await;
    let kafka = administrator(world);
    kafka.delete_topics(&[&topic], &AdminOptions::new()).await.expect("Kafka answers");
    let anew = [NewTopic::new(&topic, 4, TopicReplication::Fixed(1))];
    let until = wall_clock().plus_millis(20_000);
    while outcome.fired == 0 && wall_clock() < until {
        let made = kafka.create_topics(&anew, &AdminOptions::new()).await.expect("Kafka answers");
        outcome.fired = u32::from(made.iter().all(Result::is_ok));
    }
    let stopped = format!("SELECT count(*) FROM input_offset WHERE topic = '{topic}' AND stopped_because IS NOT NULL");
    stage.until(world, 60, &stopped, |count| count == 4).await;
    let (url, since) = (stage.url(world), wall_clock());
    for partition in 0..4 {
        let place = format!("{topic}/{partition}");
        let words = ["--to", "earliest", "--reason", "chaos", "--database-url", &url, "--kafka", &world.kafka];
        if !sagabus(&[["topics", "seek", &place].as_slice(), &words].concat()) {
            outcome.violations.push(format!("{place} cannot be sought"));
        }
    }
    stage.load.rest(false);
    let goes_on = format!(
        "SELECT count(*) FROM input_offset WHERE topic = '{topic}' AND next_offset > 0 AND stopped_because IS NULL"
    );
    if stage.until(world, 60, &goes_on, |count| count == 4).await.is_some() {
        outcome.recoveries.push(wall_clock().millis_since(since));
    }
    outcome.finish(world, stage).await
}

/// Where each partition of the participants' topics ends.
fn command_ends(world: &World, stage: &Stage) -> Vec<(String, i32, i64)> {
    let admin = admin(world);
    let topics = STEPS.iter().map(|step| format!("{}.{step}", stage.name));
    let ends = |topic: String| {
        let marks = admin.watermarks(&topic).expect("Kafka answers");
        marks.into_iter().map(move |(partition, _, end)| (topic.clone(), partition, end))
    };
    topics.flat_map(ends).collect()
}

/// Kafka loses commands that it had acknowledged, before their participants read them: they are sent again when nobody answers.
pub(super) async fn commands_lost(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        stage.signal_participants(Signal::SIGSTOP);
        let before = command_ends(world, &stage);
        stage.pass(2_000).await;
        let ends = command_ends(world, &stage);
        let mut list = TopicPartitionList::new();
        for (topic, partition, end) in &ends {
            list.add_partition_offset(topic, *partition, Offset::Offset(*end)).expect("a place in the log");
        }
        administrator(world).delete_records(&list, &AdminOptions::new()).await.expect("Kafka deletes them");
        let since = wall_clock();
        stage.signal_participants(Signal::SIGCONT);
        let sum = |ends: &[(String, i32, i64)]| ends.iter().map(|(.., end)| end).sum::<i64>();
        outcome.fired += u32::from(sum(&ends) > sum(&before));
        println!("  {} commands lost", sum(&ends) - sum(&before));
        let open = format!(
            "SELECT count(*) FROM saga WHERE finished_at IS NULL AND started_at < timestamptz 'epoch' + {} * interval '1 microsecond'",
            since.micros()
        );
        if stage.until(world, 60, &open, |count| count == 0).await.is_some() {
            outcome.recoveries.push(wall_clock().millis_since(since));
        }
    }
    outcome.finish(world, stage).await
}

/// Records that wait when the engines come.
const BACKLOG: usize = 300_000;
/// Sent together.
const PARCEL: usize = 1_000;
/// One in so many begins a saga; the others are nobody's.
const SAGA_EVERY: usize = 97;
/// What an engine's memory may come to, in kB: its bounds (P11) with what the process itself needs.
const MEMORY_KB: u64 = 400_000;

/// Both engines find a backlog. Memory is bounded by configuration, not by it.
pub(super) async fn backlog(world: &mut World) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    stage.pass(3_000).await;
    both_away(&mut stage).await;
    publish_backlog(world, &stage.name).await;
    stage.more_triggers = i64::try_from(BACKLOG.div_ceil(SAGA_EVERY)).unwrap();
    let topic = format!("{}.triggers", stage.name);
    let end: i64 = admin(world).watermarks(&topic).expect("Kafka answers").iter().map(|(.., end)| end).sum();
    let since = wall_clock();
    both_back(&mut stage);
    let read = format!("SELECT sum(next_offset)::bigint FROM input_offset WHERE topic = '{topic}'");
    stage.until(world, 300, &read, |read| read >= end).await;
    outcome.fired(Some(wall_clock().millis_since(since)));
    for engine in &stage.engines {
        let kilobytes = engine.memory_kb();
        println!("  engine {} has had {} MB at most", engine.name, kilobytes / 1_000);
        if kilobytes > MEMORY_KB {
            outcome.violations.push(format!("engine {} has had {kilobytes} kB of memory", engine.name));
        }
    }
    outcome.finish(world, stage).await
}

async fn publish_backlog(world: &World, name: &str) {
    let mut producer = Producer::new(&KafkaSettings::new(&world.kafka, "chaos-backlog", None)).unwrap();
    let record = |number: usize| {
        // Behind every number that the load will come to.
        let record = trigger(name, 10_000_000 + number);
        if number.is_multiple_of(SAGA_EVERY) {
            return record;
        }
        Outgoing { headers: record.headers.with("ce_type", "other"), ..record }
    };
    for (parcel, tag) in (0..BACKLOG / PARCEL).zip(1..) {
        producer.emit(tag, (parcel * PARCEL..(parcel + 1) * PARCEL).map(record));
        while producer.unacknowledged() > 20 * PARCEL {
            _ = producer.delivered();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    while producer.unacknowledged() > 0 {
        _ = producer.delivered();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
