//! B: what a cluster does to its clients: leaders move on under them, they are told that they are no members, it takes records more slowly
//! than they come.

use sagabus::engine::wall_clock;

use super::super::brokers::Brokers;
use super::super::proxy::{Action, Side, Weather};
use super::super::stage::{Groups, Of, Stage, World};
use super::Outcome;
use super::engine::odd_millis;
use super::kafka::ENDED;

/// How long leaders change in one try.
const CHANGING_MS: u64 = 10_000;
/// Of the 100 changes that are asked for in this time, so many must have happened.
const CHANGES_MIN: u32 = 80;

/// On a cluster of its own, whose leaders change ten times a second, and with no proxies.
pub(super) async fn leaders_change(world: &mut World, tries: u32) -> Outcome {
    let brokers = Brokers::up();
    let single = world.move_to(brokers.kafka.clone(), false);
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    let mut leaders = brokers.leaders(&format!("{}.", stage.name));
    for _ in 0..tries {
        let changing = tokio::task::spawn_blocking(move || {
            let changed = leaders.change(CHANGING_MS);
            (leaders, changed)
        });
        while !changing.is_finished() {
            stage.pass(20).await;
        }
        let since = wall_clock();
        let changed;
        (leaders, changed) = changing.await.expect("leaders can be changed");
        if changed < CHANGES_MIN {
            outcome.violations.push(format!("{changed} leaders changed, {CHANGES_MIN} are wanted"));
        }
        outcome.fired += changed;
        outcome.recoveries.extend(stage.both_resume(world, since).await);
    }
    let outcome = outcome.finish(world, stage).await;
    world.move_to(single, true);
    outcome
}

/// Kafka's words for a member with another generation, for one that it does not know, and for one whose namesake has joined.
const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER: i16 = 25;
const FENCED_INSTANCE: i16 = 82;

/// What is said to what. (A commit that is refused for a namesake's sake is only reported by the client, so it is not among them.)
const DENIALS: [(&str, i16); 5] = [
    ("heartbeat", ILLEGAL_GENERATION),
    ("heartbeat", UNKNOWN_MEMBER),
    ("heartbeat", FENCED_INSTANCE),
    ("offset_commit", ILLEGAL_GENERATION),
    ("offset_commit", UNKNOWN_MEMBER),
];

/// An engine loses all that it was given, and joins again; from where to read is Postgres's to say.
pub(super) async fn assignment_lost(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for (number, (request, code)) in (0..tries).zip(DENIALS.into_iter().cycle()) {
        stage.pass(odd_millis(number)).await;
        let place = (number % 2) as usize;
        let assigned = |stage: &Stage| stage.engines[place].said("partitions assigned");
        let mut armed = world.kafkas[place].arm(&(request.to_owned(), Side::After), Action::Answer(code));
        let Some(at) = stage.fired(&mut armed, 15_000).await else {
            outcome.violations.push(format!("no {request} was answered"));
            continue;
        };
        // Only what is said from now on can be its doing.
        let before = assigned(&stage);
        let until = at.plus_millis(20_000);
        while assigned(&stage) == before && wall_clock() < until {
            stage.pass(20).await;
        }
        if assigned(&stage) == before {
            outcome.violations.push(format!("not assigned anew after {code} to {request}"));
            continue;
        }
        let since = wall_clock();
        let resumed = stage.resumed(world, since, &Of::Engine(stage.engines[place].name)).await;
        outcome.fired(resumed.map(|millis| since.millis_since(at) + millis));
        // Its peer may have been given others too.
        stage.both_resume(world, wall_clock()).await;
    }
    outcome.finish(world, stage).await
}

/// Room for so few records that a moment fills it.
const CRAMPED: [&str; 2] = ["--kafka-property", "queue.buffering.max.messages=20"];

/// No acknowledgement comes, while triggers and answers do: what has no room in the client's queue waits its turn.
pub(super) async fn queue_full(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up_with(world, Groups::Shared, &CRAMPED).await, Outcome::default());
    let full = |stage: &Stage| stage.engines.each_ref().map(|engine| engine.said("queue to the broker is full"));
    for _ in 0..tries {
        stage.pass(2_000).await;
        let before = full(&stage);
        world.kafkas.iter().for_each(|proxy| proxy.set(Weather::SwallowsAcknowledgements));
        stage.pass(6_000).await;
        let after = full(&stage);
        if (0..2).any(|place| after[place] == before[place]) {
            outcome.violations.push(format!("a queue was not full: {before:?}, then {after:?}"));
        }
        let ended = stage.until(world, 5, ENDED, |_| true).await.unwrap_or_default();
        world.heal();
        let since = wall_clock();
        let more = stage.until(world, 60, ENDED, |count| count > ended).await;
        outcome.fired(more.map(|_| wall_clock().millis_since(since)));
    }
    outcome.finish(world, stage).await
}
