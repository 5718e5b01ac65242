//! A: engines are killed, stopped, asked to end.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use sagabus::core::Timestamp;
use sagabus::engine::wall_clock;

use super::super::proxy::{Action, Point, Side, Weather};
use super::super::stage::{Groups, Of, Stage, World};
use super::Outcome;

/// Between two faults, so that they do not fall on the same moment of the engine's turns.
pub(super) fn odd_millis(number: u32) -> u64 {
    700 + u64::from(number) * 137 % 600
}

pub(super) async fn killed_in_place(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let place = (number % 2) as usize;
        let dead = stage.writers(world, place).await;
        let name = stage.engines[place].name;
        let since = stage.engines[place].signal(Signal::SIGKILL);
        // Its open sagas may wait for a participant that is asked again after its time-out: the engine's own next row tells.
        outcome.fired(stage.resumed(world, since, &Of::Restarted(name, dead)).await);
    }
    outcome.finish(world, stage).await
}

pub(super) async fn killed_for_good(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let place = (number % 2) as usize;
        stage.engines[place].comes_back = false;
        let dead = stage.writers(world, place).await;
        let since = stage.engines[place].signal(Signal::SIGKILL);
        outcome.fired(stage.resumed(world, since, &Of::Dead(dead)).await);
        stage.engines[place].comes_back = true;
        stage.both_resume(world, wall_clock()).await;
    }
    outcome.finish(world, stage).await
}

/// What must be tried even when there is time for little: around the commit, around the emission, within a takeover.
const FIRST: [(&str, Side); 9] = [
    ("batch_commit", Side::Before),
    ("batch_commit", Side::After),
    ("produce", Side::Before),
    ("produce", Side::After),
    ("writer_update_taken", Side::After),
    ("unemitted_update_owner", Side::Before),
    ("unemitted_update_owner", Side::After),
    ("writer_insert", Side::After),
    ("fetch", Side::After),
];

/// Every point that engine `a` reaches, also when it starts anew; the most telling ones first.
pub(super) async fn points(world: &World, stage: &mut Stage, of_kafka: bool) -> Vec<Point> {
    let since = stage.engines[0].signal(Signal::SIGKILL);
    stage.resumed(world, since, &Of::Engine("a")).await;
    stage.pass(3_000).await;
    let mut points: Vec<Point> = world.postgreses[0].seen().into_iter().collect();
    if of_kafka {
        points.extend(world.kafkas[0].seen());
    }
    points.sort_by_key(|(name, side)| FIRST.iter().position(|first| *first == (name, *side)).unwrap_or(FIRST.len()));
    points
}

/// Does this to engine `a` when it reaches this point. Most are on the straight line; others only on the way back from a doubt, so the
/// engine is killed to get there.
pub(super) async fn strike(world: &World, stage: &mut Stage, point: &Point, action: Action) -> Option<Timestamp> {
    let proxy = if world.kafkas[0].seen().contains(point) { &world.kafkas[0] } else { &world.postgreses[0] };
    let mut armed = proxy.arm(point, action);
    if let Some(at) = stage.fired(&mut armed, 1_500).await {
        return Some(at);
    }
    stage.engines[0].signal(Signal::SIGKILL);
    stage.fired(&mut armed, 6_000).await
}

pub(super) async fn killed_at_points(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    let points = points(world, &mut stage, true).await;
    let mut missed = Vec::new();
    for point in points.iter().cycle().take(usize::try_from(tries).unwrap().min(points.len())) {
        let action = Action::Kill(Arc::clone(&stage.engines[0].id));
        match strike(world, &mut stage, point, action).await {
            Some(at) => outcome.fired(stage.resumed(world, at, &Of::Engine("a")).await),
            None => missed.push(format!("{point:?}")),
        }
        stage.pass(100).await;
    }
    println!("  {} of {} points, not reached: {}", outcome.fired, points.len(), missed.join(" "));
    outcome.finish(world, stage).await
}

pub(super) async fn zombie(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let place = (number % 2) as usize;
        let dead = stage.writers(world, place).await;
        let since = stage.engines[place].signal(Signal::SIGSTOP);
        let recovery = stage.resumed(world, since, &Of::Dead(dead.clone())).await;
        stage.pass(16_000_u64.saturating_sub(wall_clock().millis_since(since))).await;
        let newest = dead.iter().max().copied().unwrap_or_default();
        let taken = format!("SELECT count(*) FROM writer WHERE id = {newest} AND NOT taken_over");
        if stage.until(world, 1, &taken, |count| count == 0).await.is_some() {
            outcome.fired(recovery);
        }
        let since = stage.engines[place].signal(Signal::SIGCONT);
        stage.both_resume(world, since).await;
        let newer = stage.writers(world, place).await;
        if !newer.iter().any(|writer| *writer > newest) {
            outcome.violations.push(format!("the zombie goes on as writer {newest}"));
        }
    }
    outcome.finish(world, stage).await
}

/// Neither a connection nor a file can be opened, and what there was is cut.
pub(super) async fn no_file_handle(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let place = (number % 2) as usize;
        // What it holds it keeps. A connection that is cut gives its number back, which may be a low one; these three are never given back.
        let is_limited = stage.engines[place].limit_files(3);
        world.postgreses[place].cut();
        world.kafkas[place].cut();
        let came = world.postgreses[place].next_connection(Duration::from_secs(8)).await;
        outcome.fired += u32::from(is_limited && came.is_none());
        stage.engines[place].limit_files(1_024);
        let recovery = stage.both_resume(world, wall_clock()).await;
        outcome.recoveries.extend(recovery);
    }
    outcome.finish(world, stage).await
}

/// One engine after the other is ended and comes back as the other version, forth and back.
pub(super) async fn two_versions(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    let ours = stage.engines[0].program.clone();
    let other = world.other.clone().expect("the row is run with --other only");
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let place = (number % 2) as usize;
        let to = if stage.engines[place].program == ours { &other } else { &ours };
        stage.engines[place].program.clone_from(to);
        let since = stage.engines[place].signal(Signal::SIGTERM);
        let code = ended_within(&mut stage, place, since, 15_000).await;
        if code != Some(0) {
            outcome.violations.push(format!("exit code {code:?} after SIGTERM"));
        }
        outcome.fired(stage.both_resume(world, wall_clock()).await);
    }
    outcome.finish(world, stage).await
}

/// Two groups: both engines read every partition, and each saga belongs to whoever is first.
pub(super) async fn all_own_all(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Apart).await, Outcome::default());
    let mixed = "SELECT count(*) FROM (SELECT 1 FROM journal GROUP BY saga_id HAVING count(DISTINCT writer) > 1) AS s";
    stage.pass(u64::from(tries) * 1_000).await;
    let by_both = stage.until(world, 30, mixed, |count| count > 0).await;
    outcome.fired = u32::try_from(by_both.unwrap_or_default()).unwrap();
    outcome.finish(world, stage).await
}

pub(super) async fn terminated(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let place = (number % 2) as usize;
        let since = stage.engines[place].signal(Signal::SIGTERM);
        let code = ended_within(&mut stage, place, since, 15_000).await;
        if code != Some(0) {
            outcome.violations.push(format!("exit code {code:?} after SIGTERM"));
        }
        outcome.fired(Some(wall_clock().millis_since(since)));
        stage.both_resume(world, wall_clock()).await;
    }
    outcome.finish(world, stage).await
}

async fn ended_within(stage: &mut Stage, place: usize, since: Timestamp, millis: u64) -> Option<i32> {
    while wall_clock().millis_since(since) < millis {
        if let Some(status) = stage.engines[place].ended() {
            return status.code();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    None
}

/// The broker does not answer, so the engine waits for it while it drains; the second signal does not.
pub(super) async fn terminated_twice(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    // A later statement did not delete the batch, so its acknowledgement was not there.
    let unheard = "SELECT count(*) FROM unemitted u JOIN writer w ON w.id = u.writer_id AND w.id = u.owner
                   WHERE w.instance = 'a' AND u.batch < w.batch";
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        world.kafkas[0].set(Weather::SwallowsAnswers);
        // Longer than from one heartbeat to the next: the newest statement is of this time.
        stage.pass(2_500).await;
        stage.until(world, 30, unheard, |count| count > 0).await;
        let first = stage.engines[0].signal(Signal::SIGTERM);
        if ended_within(&mut stage, 0, first, 500).await.is_some() {
            outcome.violations.push("it did not wait for the broker".to_owned());
            world.heal();
            continue;
        }
        let second = stage.engines[0].signal(Signal::SIGTERM);
        let code = ended_within(&mut stage, 0, second, 10_000).await;
        if code != Some(130) {
            outcome.violations.push(format!("exit code {code:?} after the second SIGTERM"));
        }
        outcome.fired(Some(wall_clock().millis_since(second)));
        world.heal();
        stage.both_resume(world, wall_clock()).await;
    }
    outcome.finish(world, stage).await
}
