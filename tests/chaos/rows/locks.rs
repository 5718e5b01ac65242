//! C: what other sessions do to the engines' statements, and a server that may be read and not written.

use std::time::Duration;

use sagabus::engine::wall_clock;
use sqlx::{Connection as _, PgConnection};

use super::super::stage::{Groups, Stage, World};
use super::Outcome;
use super::database::ROWS_WRITTEN;
use super::engine::odd_millis;

const DEADLOCKS: &str = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted";

/// A stranger in the engines' database.
async fn stranger(world: &World, stage: &Stage) -> PgConnection {
    PgConnection::connect(&stage.url(world)).await.expect("Postgres answers")
}

async fn say(session: &mut PgConnection, statements: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(session).await.map(|_| ())
}

/// A session locks what the engine's statement locks, the other way round. It waits longer, so the engine's statement is the victim.
pub(super) async fn deadlock(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let before = stage.until(world, 5, DEADLOCKS, |_| true).await.unwrap_or_default();
        let mut session = stranger(world, &stage).await;
        let held = "SET deadlock_timeout = '20s'; BEGIN; SELECT FROM input_offset FOR UPDATE";
        say(&mut session, held).await.expect("nobody holds them for long");
        stage.until(world, 5, WAITING, |count| count > 0).await;
        let since = wall_clock();
        let crossed = say(&mut session, "UPDATE writer SET age = age WHERE NOT taken_over; ROLLBACK").await;
        let deadlocks = stage.until(world, 5, DEADLOCKS, |count| count > before).await;
        if crossed.is_ok() && deadlocks.is_some() {
            outcome.fired(stage.both_resume(world, since).await);
        }
    }
    outcome.finish(world, stage).await
}

/// Every transaction is serializable, as an administrator may have set it: statements that meet fail with 40001.
pub(super) async fn serializable(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Apart).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let refused = || world.primary.said("could not serialize access");
        let before = refused();
        world.primary.run("ALTER SYSTEM SET default_transaction_isolation = 'serializable'").await;
        world.primary.run("SELECT pg_reload_conf()").await;
        stage.pass(5_000).await;
        outcome.fired += u32::try_from(refused() - before).unwrap();
        stage.both_resume(world, wall_clock()).await;
        world.primary.run("ALTER SYSTEM RESET default_transaction_isolation").await;
        world.primary.run("SELECT pg_reload_conf()").await;
        let recovery = stage.both_resume(world, wall_clock()).await;
        outcome.recoveries.extend(recovery);
    }
    outcome.finish(world, stage).await
}

/// Somebody began a transaction that locks the journal, and went to lunch.
pub(super) async fn locked(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        let mut session = stranger(world, &stage).await;
        say(&mut session, "BEGIN; LOCK TABLE journal IN EXCLUSIVE MODE").await.expect("nobody holds it for long");
        let before = stage.until(world, 5, ROWS_WRITTEN, |_| true).await;
        let waiting = stage.until(world, 5, WAITING, |count| count > 0).await;
        stage.pass(6_000).await;
        let after = stage.until(world, 5, ROWS_WRITTEN, |_| true).await;
        outcome.fired += u32::from(waiting.is_some() && before == after);
        say(&mut session, "ROLLBACK").await.expect("its session lives");
        let recovery = stage.both_resume(world, wall_clock()).await;
        outcome.recoveries.extend(recovery);
    }
    outcome.finish(world, stage).await
}

/// The engines' address leads to a standby for a while: it could be read, and nothing may be decided by it.
pub(super) async fn standby(world: &mut World, tries: u32) -> Outcome {
    let (mut stage, mut outcome) = (Stage::up(world, Groups::Shared).await, Outcome::default());
    let standby = world.standby().await;
    for number in 0..tries {
        stage.pass(odd_millis(number)).await;
        world.postgreses.iter().for_each(|proxy| proxy.switch(standby.port));
        let came = world.postgreses[0].next_connection(Duration::from_secs(10)).await.is_some();
        let before = stage.until(world, 5, ROWS_WRITTEN, |_| true).await;
        stage.pass(6_000).await;
        let after = stage.until(world, 5, ROWS_WRITTEN, |_| true).await;
        outcome.fired += u32::from(came && before == after);
        world.postgreses.iter().for_each(|proxy| proxy.switch(world.primary.port));
        let recovery = stage.both_resume(world, wall_clock()).await;
        outcome.recoveries.extend(recovery);
    }
    drop(standby);
    outcome.finish(world, stage).await
}
