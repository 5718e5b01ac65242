//! The service around the handler: `sagabus::participant` reads commands, keeps the contract, and answers.

mod handler;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sagabus::bus::KafkaSettings;
use sagabus::participant::{self, Service};
use sqlx::{Connection as _, PgConnection};
use tokio::signal::unix::{SignalKind, signal};

const NAME: &str = "clearing";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let setting =
        |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let database_url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let bootstrap = std::env::var("KAFKA_BOOTSTRAP").map_err(|_| "KAFKA_BOOTSTRAP is not set")?;
    let kafka = KafkaSettings::new(
        &bootstrap,
        &setting("GROUP", NAME),
        std::env::var("INSTANCE").ok(),
    );
    let command_topic = setting("COMMAND_TOPIC", "clearing.commands");
    let dead_letter_topic = setting("DEAD_LETTER_TOPIC", &format!("{NAME}.dead-letters"));

    apply_schema(&database_url).await?;
    let service = Service::connect(
        NAME,
        &kafka,
        &[&command_topic],
        &database_url,
        handler::Business,
    )
    .await?;
    let stop = Arc::new(AtomicBool::new(false));
    tokio::spawn(stop_on_signal(Arc::clone(&stop)));
    tracing::info!(topic = command_topic, "reading");
    // A lost database ends the process: it is restarted where its offsets are.
    Ok(service
        .with_dead_letters(&dead_letter_topic)
        .run(&stop)
        .await?)
}

/// One process at a time: two that make the same table at once disturb each other.
async fn apply_schema(database_url: &str) -> Result<(), sqlx::Error> {
    let mut database = PgConnection::connect(database_url).await?;
    let mut transaction = database.begin().await?;
    sqlx::raw_sql("SELECT pg_advisory_xact_lock(5242)")
        .execute(&mut *transaction)
        .await?;
    participant::apply(&mut transaction).await?;
    sqlx::raw_sql(include_str!("../schema.sql"))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

async fn stop_on_signal(stop: Arc<AtomicBool>) -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.store(true, Ordering::Relaxed);
    Ok(())
}
