//! B: the broker is away, slow, forgetful; acknowledgements are lost; the group is never quiet.

use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::admin::AdminOptions;
use rdkafka::config::{ClientConfig, FromClientConfig as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use sagabus::bus::{Admin, KafkaSettings};
use sagabus::engine::wall_clock;

use super::super::audit::administrator;
use super::super::proxy::{Action, Point, Side, Weather};
use super::super::stage::{Groups, Of, Stage, World, sagabus, services};
use super::Outcome;
use super::engine::odd_millis;

/// The broker's word for a sequence number that it did not expect: librdkafka's idempotent producer never recovers from it.
const OUT_OF_ORDER: i16 = 45;

pub(super) async fn broker_away(world: &mut World, tries: u32, millis: u64) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for _ in 0..tries {
        stage.pass(3_000).await;
        services("stop-kafka");
        stage.pass(millis).await;
        let before = stage.until(world, 5, ENDED, |_| true).await.unwrap_or_default();
        services("start-kafka");
        let since = wall_clock();
        stage.both_resume(world, since).await;
        // Rows of engines come from their timers too: participants must be back as well.
        let ended = stage.until(world, 60, ENDED, |count| count > before).await;
        outcome.fired(ended.map(|_| wall_clock().millis_since(since)));
    }
    println!(
        "  {} clients had lost their cluster for good, and were replaced",
        stage.said("lost its cluster for good")
    );
    outcome.finish(world, stage).await
}

pub(super) async fn broker_slow(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for _ in 0..tries {
        stage.pass(1_000).await;
        world.kafkas.iter().for_each(|proxy| proxy.set(Weather::Slow(10_000)));
        stage.pass(10_000).await;
        world.heal();
        outcome.fired(stage.both_resume(world, wall_clock()).await);
    }
    outcome.finish(world, stage).await
}

pub(super) const ENDED: &str = "SELECT count(*) FROM saga WHERE finished_at IS NOT NULL";

fn produced() -> Point {
    ("produce".to_owned(), Side::After)
}

/// The commands are in the log, and the engine is not told.
pub(super) async fn acknowledgement_lost(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        let place = (number % 2) as usize;
        let mut armed = world.kafkas[place].arm(&produced(), Action::Cut);
        if let Some(at) = stage.fired(&mut armed, 10_000).await {
            outcome.fired(stage.resumed(world, at, &Of::Engine(stage.engines[place].name)).await);
        }
        stage.pass(odd_millis(number)).await;
    }
    outcome.finish(world, stage).await
}

pub(super) async fn producer_fails(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        let place = (number % 2) as usize;
        let words = "producer failed for good, beginning anew";
        let before = stage.engines[place].said(words);
        let mut armed = world.kafkas[place].arm(&produced(), Action::Answer(OUT_OF_ORDER));
        let at = stage.fired(&mut armed, 10_000).await;
        stage.pass(2_000).await;
        if let Some(at) = at.filter(|_| stage.engines[place].said(words) > before) {
            outcome.fired(stage.resumed(world, at, &Of::Engine(stage.engines[place].name)).await);
        }
    }
    outcome.finish(world, stage).await
}

/// A wrong password ends the start with a configuration error, says why, and tells no secret; the right one serves.
pub(super) async fn wrong_password(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    let Some((login, address)) = world.guarded.split_once('@') else {
        outcome.violations.push("Kafka has no listener that asks for a password".to_owned());
        return outcome;
    };
    let (user, password) = login.split_once(':').unwrap_or_default();
    let with = |password: &str| {
        let properties = format!(
            "security.protocol=sasl_plaintext,sasl.mechanism=PLAIN,sasl.username={user},sasl.password={password}"
        );
        ["--kafka", address, "--kafka-property", &properties].map(str::to_owned).to_vec()
    };
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let mut engine = stage.third(world, with("secret-but-wrong"));
        let since = wall_clock();
        let code = loop {
            match engine.ended() {
                None if wall_clock().millis_since(since) < 30_000 => stage.pass(5).await,
                ended => break ended.and_then(|status| status.code()),
            }
        };
        let (is_said, is_told) = (engine.said("Authentication failed") > 0, engine.said("secret-but-wrong") > 0);
        if code != Some(2) || !is_said || is_told {
            outcome.violations.push(format!("exit code {code:?}, why is said: {is_said}, the secret: {is_told}"));
        }
        outcome.fired(Some(wall_clock().millis_since(since)));
    }
    let mut engine = stage.third(world, with(password));
    stage.resumed(world, wall_clock(), &Of::Engine("c")).await;
    engine.signal(Signal::SIGTERM);
    while engine.ended().is_none() {
        stage.pass(20).await;
    }
    outcome.finish(world, stage).await
}

/// A stranger joins the engines' group and leaves it again, and reads nothing that it is given.
pub(super) async fn rebalances(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    let topics = [format!("{}.triggers", stage.name), format!("{}.replies", stage.name)];
    let before = stage.until(world, 10, ENDED, |_| true).await.unwrap_or_default();
    for _ in 0..tries {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &world.kafka).set("group.id", &stage.name).set("enable.auto.commit", "false");
        config.set("session.timeout.ms", "8000").set("partition.assignment.strategy", "range").set("log_level", "3");
        let member = BaseConsumer::from_config(&config).expect("a Kafka client");
        member.subscribe(&topics.each_ref().map(String::as_str)).expect("it subscribes");
        let came = tokio::task::spawn_blocking(move || {
            let until = wall_clock().plus_millis(15_000);
            let mut given = 0;
            while given == 0 && wall_clock() < until {
                _ = member.poll(Duration::from_millis(50));
                given = member.assignment().map_or(0, |list| list.count());
            }
            _ = member.poll(Duration::from_millis(500));
            drop(member);
            given > 0
        });
        while !came.is_finished() {
            stage.pass(20).await;
        }
        outcome.fired += u32::from(came.await.unwrap_or(false));
        stage.pass(500).await;
    }
    let since = wall_clock();
    stage.until(world, 1, ENDED, |count| count > before).await;
    let recovery = stage.both_resume(world, since).await;
    outcome.recoveries.extend(recovery);
    outcome.finish(world, stage).await
}

/// Both engines end, and the group has forgotten them.
pub(super) async fn both_away(stage: &mut Stage) {
    for place in [0, 1] {
        stage.engines[place].comes_back = false;
        stage.engines[place].signal(Signal::SIGTERM);
        while stage.engines[place].ended().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(super) fn both_back(stage: &mut Stage) {
    stage.engines.iter_mut().for_each(|engine| engine.comes_back = true);
    stage.tend();
}

pub(super) async fn group_deleted(world: &mut World) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    stage.pass(6_000).await;
    both_away(&mut stage).await;
    let until = wall_clock().plus_millis(30_000);
    // It can be deleted when its last member's session has ended.
    while outcome.fired == 0 && wall_clock() < until {
        let deleted = administrator(world).delete_groups(&[stage.name.as_str()], &AdminOptions::new()).await;
        outcome.fired = u32::from(deleted.is_ok_and(|groups| groups.iter().all(Result::is_ok)));
        stage.pass(500).await;
    }
    let since = wall_clock();
    both_back(&mut stage);
    let recovery = stage.both_resume(world, since).await;
    outcome.recoveries.extend(recovery);
    outcome.finish(world, stage).await
}

/// Records that nobody has read are deleted: that partition stops, the others go on, `topics seek` restarts it.
pub(super) async fn outside_the_log(world: &mut World) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    let topic = format!("{}.triggers", stage.name);
    stage.pass(1_000).await;
    both_away(&mut stage).await;
    stage.pass(3_000).await;
    let admin = Admin::connect(&KafkaSettings::new(&world.kafka, "chaos", None)).expect("Kafka answers");
    let marks = admin.watermarks(&topic).expect("Kafka answers");
    let (partition, _, end) = *marks.first().expect("it has partitions");
    let next = format!("SELECT next_offset FROM input_offset WHERE topic = '{topic}' AND partition = {partition}");
    let next = stage.until(world, 5, &next, |_| true).await.unwrap_or_default();
    stage.more_triggers = next - end;
    assert!(end > next, "records came while nobody read");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, partition, Offset::Offset(end)).expect("a place in the log");
    administrator(world).delete_records(&list, &AdminOptions::new()).await.expect("Kafka deletes them");
    let since = wall_clock();
    both_back(&mut stage);
    let stopped = "SELECT count(*) FROM input_offset WHERE stopped_because IS NOT NULL";
    stage.until(world, 30, stopped, |count| count == 1).await;
    // The others go on.
    stage.both_resume(world, since).await;
    let place = format!("{topic}/{partition}");
    let (url, kafka) = (stage.url(world), world.kafka.clone());
    let sought =
        ["topics", "seek", &place, "--to", "earliest", "--reason", "chaos", "--database-url", &url, "--kafka", &kafka];
    let since = wall_clock();
    outcome.fired = u32::from(sagabus(&sought));
    let read = format!(
        "SELECT next_offset FROM input_offset WHERE topic = '{topic}' AND partition = {partition} AND stopped_because IS NULL"
    );
    if stage.until(world, 30, &read, |offset| offset > end).await.is_some() {
        outcome.recoveries.push(wall_clock().millis_since(since));
    }
    outcome.finish(world, stage).await
}
