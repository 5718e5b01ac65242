//! C: Postgres crashes, is replaced, loses its last commits, runs full; connections are cut and swallowed.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use sagabus::core::Timestamp;
use sagabus::engine::wall_clock;
use sqlx::{Connection as _, PgConnection};

use super::super::cluster::{Server, own_folder};
use super::super::proxy::{Action, Weather};
use super::super::stage::{Groups, Of, Stage, World};
use super::Outcome;
use super::engine::{odd_millis, points, strike};

pub(super) async fn cut_at_points(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    let points = points(world, &mut stage, false).await;
    let mut missed = Vec::new();
    for point in points.iter().take(usize::try_from(tries).unwrap()) {
        match strike(world, &mut stage, point, Action::Cut).await {
            Some(at) => outcome.fired(stage.resumed(world, at, &Of::Engine("a")).await),
            None => missed.push(format!("{point:?}")),
        }
        stage.pass(100).await;
    }
    println!("  {} of {} points, not reached: {}", outcome.fired, points.len(), missed.join(" "));
    outcome.finish(world, stage).await
}

/// How long after a crash began both engines have written something; what they wrote before it had ended does not count.
async fn resumed(world: &World, stage: &mut Stage, began: Timestamp, ended: Timestamp) -> Option<u64> {
    let after = stage.both_resume(world, ended).await?;
    Some(after + ended.millis_since(began))
}

pub(super) async fn crash(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let began = wall_clock();
        world.primary.crash();
        let ended = wall_clock();
        world.primary.start();
        outcome.fired(resumed(world, &mut stage, began, ended).await);
    }
    outcome.finish(world, stage).await
}

/// What a standby lacks when it is promoted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Lag {
    /// Nothing: it is synchronous.
    None,
    /// What was committed in its primary's last second.
    Some,
}

pub(super) const ROWS_WRITTEN: &str = "SELECT count(*) FROM journal";

pub(super) async fn promoted(world: &mut World, tries: u32, lag: Lag) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    stage.may_park = lag == Lag::Some;
    for number in 0..tries {
        let standby = world.standby().await;
        match lag {
            Lag::None => {
                world.primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
                world.primary.run("SELECT pg_reload_conf()").await;
                stage.pass(odd_millis(number)).await;
            }
            Lag::Some => {
                stage.pass(odd_millis(number)).await;
                world.replication.set(Weather::Swallows);
                stage.pass(1_000).await;
            }
        }
        let written = stage.until(world, 5, ROWS_WRITTEN, |_| true).await.unwrap_or_default();
        let began = wall_clock();
        world.primary.crash();
        let ended = wall_clock();
        world.replication.cut();
        standby.promote();
        let former = world.switch(standby);
        // Asked before the engines have come back would be better, and later only makes the loss look smaller.
        let kept = stage.until(world, 5, ROWS_WRITTEN, |_| true).await.unwrap_or_default();
        outcome.fired += u32::from(lag == Lag::None || kept < written);
        println!("  promoted after {} ms, {} rows lost", wall_clock().millis_since(began), (written - kept).max(0));
        let recovery = resumed(world, &mut stage, began, ended).await;
        outcome.recoveries.extend(recovery);
        drop(former);
        world.replication.set(Weather::Clear);
    }
    outcome.finish(world, stage).await
}

/// Nobody is told that the network is gone: the engine must give the connection up by itself.
pub(super) async fn swallowed(world: &mut World, tries: u32, weather: Weather) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let place = (number % 2) as usize;
        let since = wall_clock();
        world.postgreses[place].set(weather);
        if let Some(at) = world.postgreses[place].next_connection(Duration::from_secs(30)).await {
            outcome.fired(Some(at.millis_since(since)));
        }
        stage.pass(14_000_u64.saturating_sub(wall_clock().millis_since(since))).await;
        world.heal();
        stage.both_resume(world, wall_clock()).await;
    }
    outcome.finish(world, stage).await
}

/// A file system of its own for a primary of its own, which an anonymous file fills.
pub(super) async fn disk_full(world: &mut World, tries: u32) -> Outcome {
    let folder = world.home.join("small-disk");
    own_folder(&folder);
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=320m", "tmpfs"]).arg(&folder).status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("  no tmpfs can be mounted here: run it as root");
        return Outcome::default();
    }
    own_folder(&folder);
    let large = world.switch(Server::primary(&folder));
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let filler = folder.join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        while file.write_all(&[0; 65_536]).is_ok() {}
        let full_at = wall_clock();
        stage.pass(8_000).await;
        outcome.fired += u32::from(file.write_all(&[0; 65_536]).is_err());
        drop(file);
        std::fs::remove_file(filler).unwrap();
        println!(
            "  full for {} ms, Postgres has ended: {}",
            wall_clock().millis_since(full_at),
            !world.primary.is_running()
        );
        let since = wall_clock();
        // One that could not write its log has ended, and is started as an administrator would.
        while !world.primary.is_running() && !world.primary.try_start() {}
        let recovery = stage.both_resume(world, since).await;
        outcome.recoveries.extend(recovery);
    }
    let outcome = outcome.finish(world, stage).await;
    drop(world.switch(large));
    _ = Command::new("umount").arg("-l").arg(&folder).status();
    outcome
}

pub(super) async fn read_only(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        world.primary.run("ALTER SYSTEM SET default_transaction_read_only = on").await;
        world.primary.run("SELECT pg_reload_conf()").await;
        stage.pass(1_000).await;
        let before = stage.until(world, 5, ROWS_WRITTEN, |_| true).await;
        stage.pass(5_000).await;
        let after = stage.until(world, 5, ROWS_WRITTEN, |_| true).await;
        outcome.fired += u32::from(before == after);
        world.primary.run("ALTER SYSTEM RESET default_transaction_read_only").await;
        world.primary.run("SELECT pg_reload_conf()").await;
        let recovery = stage.both_resume(world, wall_clock()).await;
        outcome.recoveries.extend(recovery);
    }
    outcome.finish(world, stage).await
}

/// Others hold every connection, and the engines' are ended.
pub(super) async fn no_connection_free(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        // Engines are no superusers anywhere; here they are, so the reserved connections are taken too.
        let mut taken = Vec::new();
        world.postgreses.iter().for_each(|proxy| proxy.set(Weather::Swallows));
        world.postgreses.iter().for_each(super::super::proxy::Proxy::cut);
        while let Ok(connection) = PgConnection::connect(&world.primary.url("postgres")).await {
            taken.push(connection);
        }
        world.heal();
        stage.pass(6_000).await;
        outcome.fired += u32::from(PgConnection::connect(&world.primary.url("postgres")).await.is_err());
        drop(taken);
        let recovery = stage.both_resume(world, wall_clock()).await;
        outcome.recoveries.extend(recovery);
    }
    outcome.finish(world, stage).await
}
