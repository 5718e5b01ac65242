//! What lies in a system that has been at work for long: sagas that have ended, and open ones that wait.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use super::processes::resident_bytes;
use super::run::blocking;
use super::stage::Stage;
use super::{BenchError, failed};

const STORED_INSERT: &str = include_str!("sql/stored_insert.sql");
const UNENDED_COUNT: &str = include_str!("sql/unended_count.sql");
const VACUUM: &str = include_str!("sql/vacuum.sql");

/// Sagas that copies are made of: those that warmed the system up.
const MODELS: u64 = 1_000;
/// Copies of each by one statement.
const COPIES: u64 = 100;
/// How long all idle sagas may take to begin.
const BEGIN_WAIT: Duration = Duration::from_secs(1_800);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(500);

/// Adds so many sagas that have ended, with as many journal rows as the real ones, each of a byte: nobody reads them.
///
/// # Errors
/// The database does not answer.
pub(super) async fn store(url: &str, sagas: u64) -> Result<(), BenchError> {
    let mut connection = PgConnection::connect(url).await.map_err(failed("reach the database"))?;
    let copies = sagas.div_ceil(MODELS);
    let mut made = 0;
    while made < copies {
        let more = COPIES.min(copies - made);
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let insert = sqlx::query(STORED_INSERT).bind(number(made)).bind(number(more));
        insert.execute(&mut connection).await.map_err(failed("store sagas"))?;
        made += more;
        tracing::info!(sagas = made * MODELS, "stored");
    }
    sqlx::raw_sql(VACUUM).execute(&mut connection).await.map(|_| ()).map_err(failed("vacuum"))
}

/// Begins so many sagas that nobody answers. Returns what each takes of the engine's resident memory, in bytes.
///
/// # Errors
/// They do not all begin, or the database does not answer.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(super) async fn idle(stage: &mut Stage, url: &str, sagas: u64) -> Result<f64, BenchError> {
    let mut connection = PgConnection::connect(url).await.map_err(failed("reach the database"))?;
    let before = resident_bytes(&stage.processes());
    blocking(stage, move |load| load.begin_idle(sagas)).await?;
    let until = Instant::now() + BEGIN_WAIT;
    loop {
        let query = sqlx::query_as(UNENDED_COUNT).fetch_one(&mut connection);
        let (open,): (i64,) = query.await.map_err(failed("count open sagas"))?;
        if u64::try_from(open).unwrap_or_default() >= sagas {
            let grown = resident_bytes(&stage.processes()).saturating_sub(before);
            return Ok(grown as f64 / sagas.max(1) as f64);
        }
        if Instant::now() > until {
            return Err(failed("begin idle sagas")(format!("{open} of {sagas} have begun")));
        }
        tokio::time::sleep(LOOK).await;
    }
}
