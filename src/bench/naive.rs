//! The textbook design, to compare with: a transaction for each message (SELECT FOR UPDATE, UPDATE, INSERT into an outbox) and a relay
//! that polls the outbox. It works, with the same messages as Sagabus, for chains of steps in which nothing is retried.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgTransaction};
use uuid::Uuid;

use crate::bus::{Group, KafkaSettings, Producer};
use crate::core::{
    Action, Announcement, Command, Definition, Json, Outcome, Phase, Reply, StepIx, Trigger, command_id, saga_id,
};
use crate::definition::{Compiled, TriggerMatch, read_folder};
use crate::operations::Places;
use crate::wire::{self, Event, Outgoing, Record};

use super::{BenchError, failed};

const CREATE: &str = include_str!("sql/naive_create.sql");
const SAGA_INSERT: &str = include_str!("sql/naive_saga_insert.sql");
const SAGA_SELECT: &str = include_str!("sql/naive_saga_select.sql");
const SAGA_UPDATE: &str = include_str!("sql/naive_saga_update.sql");
const OUTBOX_INSERT: &str = include_str!("sql/naive_outbox_insert.sql");
const OUTBOX_SELECT: &str = include_str!("sql/naive_outbox_select.sql");
const OUTBOX_DELETE: &str = include_str!("sql/naive_outbox_delete.sql");

/// Messages are handled by so many at once, each on a connection of its own.
const WORKERS: usize = 4;
/// Records that a worker polls, and that the relay sends, at once.
const BATCH: usize = 500;
/// How often the relay looks when there was nothing.
const RELAY: Duration = Duration::from_millis(10);

/// Runs it until one of its threads fails.
///
/// # Errors
/// Kafka or Postgres is not there, or the folder holds no definition.
pub async fn naive(places: &Places, definitions: &Path) -> Result<(), BenchError> {
    let kafka = places.kafka(None).map_err(failed("find Kafka"))?;
    let url = places.database_url().map_err(failed("find the database"))?.to_owned();
    let mut connection = PgConnection::connect(&url).await.map_err(failed("reach the database"))?;
    sqlx::raw_sql(CREATE).execute(&mut connection).await.map_err(failed("make tables"))?;
    let (_, plan) = read_folder(definitions)
        .map_err(failed("read the definition"))?
        .pop()
        .ok_or_else(|| BenchError { attempted: "read the definition", message: "there is none".to_owned() })?;
    let plan = Arc::new(plan);
    let (ended, mut first) = tokio::sync::mpsc::channel(1);
    let spawn = |work: Box<dyn FnOnce() -> Result<(), BenchError> + Send>| {
        let ended = ended.clone();
        // Nobody ends but by a failure; of several the first one is told.
        std::thread::spawn(move || _ = ended.blocking_send(work()));
    };
    for _ in 0..WORKERS {
        let (kafka, url, plan) = (kafka.clone(), url.clone(), Arc::clone(&plan));
        spawn(Box::new(move || on_a_thread(work(&kafka, &url, &plan))));
    }
    spawn(Box::new(move || on_a_thread(relay(&kafka, &url))));
    first.recv().await.unwrap_or(Ok(()))
}

fn on_a_thread<T>(work: impl Future<Output = Result<T, BenchError>>) -> Result<T, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(failed("start a thread"))?.block_on(work)
}

async fn work(kafka: &KafkaSettings, url: &str, plan: &Compiled) -> Result<(), BenchError> {
    let definition = plan.definition();
    let mut group = Group::join(kafka, &[&definition.trigger_topic, &definition.reply_topic])
        .map_err(failed("make Kafka clients"))?;
    let mut connection = PgConnection::connect(url).await.map_err(failed("reach the database"))?;
    loop {
        for (record, event) in group.poll(BATCH, Duration::from_millis(20)) {
            let Ok(event) = event else { continue };
            handle(&mut connection, plan, &record, &event).await.map_err(failed("handle a message"))?;
        }
        group.commit();
    }
}

/// One message, one transaction.
async fn handle(
    connection: &mut PgConnection,
    plan: &Compiled,
    record: &Record,
    event: &Event,
) -> Result<(), sqlx::Error> {
    if wire::is_reply(event) {
        let Ok(reply) = wire::reply(record, event) else { return Ok(()) };
        return answered(connection, plan.definition(), &reply).await;
    }
    let Ok(trigger) = wire::trigger(record, event) else { return Ok(()) };
    match plan.accepts(&trigger) {
        Ok(TriggerMatch::Start { business_key }) => begin(connection, plan.definition(), &business_key, &trigger).await,
        Ok(TriggerMatch::NotThisOne) | Err(_) => Ok(()),
    }
}

async fn begin(
    connection: &mut PgConnection,
    definition: &Definition,
    business_key: &str,
    trigger: &Trigger,
) -> Result<(), sqlx::Error> {
    let saga = Saga {
        id: saga_id(&definition.name, business_key, trigger.timestamp),
        business_key: Arc::from(business_key),
        data: trigger.data.clone(),
    };
    let mut transaction = connection.begin().await?;
    let insert = sqlx::query(SAGA_INSERT).bind(saga.id).bind(business_key).bind(saga.data.get());
    if insert.execute(&mut *transaction).await?.rows_affected() == 1 {
        send(&mut transaction, &saga.command(definition, StepIx(0), Action::Do)).await?;
    }
    transaction.commit().await
}

/// State, step and direction that a saga waits in.
type Columns = (String, i32, bool, bool, String);

async fn answered(connection: &mut PgConnection, definition: &Definition, reply: &Reply) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let found: Option<Columns> =
        sqlx::query_as(SAGA_SELECT).bind(reply.saga_id).fetch_optional(&mut *transaction).await?;
    let Some((business_key, step, is_undoing, false, data)) = found else { return transaction.rollback().await };
    let Ok(data) = Json::parse(data.as_bytes()) else { return transaction.rollback().await };
    let saga = Saga { id: reply.saga_id, business_key: Arc::from(business_key), data };
    let place = StepIx(u16::try_from(step).unwrap_or_default());
    let action = if is_undoing { Action::Undo } else { Action::Do };
    if command_id(saga.id, place, action, 1) != reply.command_id {
        return transaction.rollback().await;
    }
    let succeeded = reply.answer.outcome == Outcome::Success;
    let forward = !is_undoing && succeeded;
    let next = if forward { place.0.checked_add(1) } else { place.0.checked_sub(1) };
    let next = next.filter(|next| usize::from(*next) < definition.steps.len()).map(StepIx);
    let update = |at: StepIx, is_ended: bool| {
        sqlx::query(SAGA_UPDATE).bind(saga.id).bind(i32::from(at.0)).bind(!forward).bind(is_ended)
    };
    let record = match next {
        Some(next) => {
            update(next, false).execute(&mut *transaction).await?;
            saga.command(definition, next, if forward { Action::Do } else { Action::Undo })
        }
        None => {
            update(place, true).execute(&mut *transaction).await?;
            saga.announcement(definition, if forward { Phase::Completed } else { Phase::Compensated })
        }
    };
    send(&mut transaction, &record).await?;
    transaction.commit().await
}

/// What messages say of a saga.
struct Saga {
    id: Uuid,
    business_key: Arc<str>,
    data: Json,
}

impl Saga {
    fn command(&self, definition: &Definition, place: StepIx, action: Action) -> Outgoing {
        let step = definition.step(place);
        wire::command(&Command {
            saga_id: self.id,
            business_key: Arc::clone(&self.business_key),
            definition_name: Arc::clone(&definition.name),
            definition_version: definition.version,
            definition_hash: definition.hash,
            topic: Arc::clone(&step.command_topic),
            kind: Arc::clone(&step.command_type),
            reply_topic: Arc::clone(&definition.reply_topic),
            step: place,
            step_name: Arc::clone(&step.name),
            action,
            attempt: 1,
            id: command_id(self.id, place, action, 1),
            decided_at: crate::engine::wall_clock(),
            expires_at: None,
            cause: Arc::from(self.id.to_string()),
            traceparent: None,
            tracestate: None,
            data: self.data.clone(),
        })
    }

    fn announcement(&self, definition: &Definition, phase: Phase) -> Outgoing {
        let now = crate::engine::wall_clock();
        wire::announcement(&Announcement {
            id: Uuid::new_v5(&self.id, phase.name().as_bytes()),
            saga_id: self.id,
            business_key: Arc::clone(&self.business_key),
            definition_name: Arc::clone(&definition.name),
            definition_version: definition.version,
            topic: Arc::clone(&definition.outcome_topic),
            phase,
            started_at: now,
            finished_at: Some(now),
            error: None,
            seq: 1,
            at: now,
        })
    }
}

async fn send(transaction: &mut PgTransaction<'_>, record: &Outgoing) -> Result<(), sqlx::Error> {
    let headers = serde_json::to_string(&record.headers).expect("headers are plain data");
    let insert = sqlx::query(OUTBOX_INSERT).bind(&*record.topic).bind(&*record.key).bind(record.value.get());
    insert.bind(headers).execute(&mut **transaction).await.map(|_| ())
}

/// Sends what is in the outbox, in order, and deletes what the broker has acknowledged.
async fn relay(kafka: &KafkaSettings, url: &str) -> Result<(), BenchError> {
    let mut connection = PgConnection::connect(url).await.map_err(failed("reach the database"))?;
    let mut producer = Producer::new(kafka).map_err(failed("make Kafka clients"))?;
    let mut names = HashMap::new();
    let mut tag = 0;
    loop {
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let query = sqlx::query_as(OUTBOX_SELECT).bind(limit);
        let found: Vec<(i64, String, String, String, String)> =
            query.fetch_all(&mut connection).await.map_err(failed("read the outbox"))?;
        if found.is_empty() {
            tokio::time::sleep(RELAY).await;
            continue;
        }
        let ids: Vec<i64> = found.iter().map(|(id, ..)| *id).collect();
        tag += 1;
        producer.emit(tag, found.into_iter().filter_map(|row| outgoing(&mut names, row)));
        while producer.unacknowledged() > 0 {
            if producer.delivered().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let delete = sqlx::query(OUTBOX_DELETE).bind(ids);
        delete.execute(&mut connection).await.map_err(failed("empty the outbox"))?;
    }
}

fn outgoing(
    names: &mut HashMap<String, &'static str>,
    (_, topic, key, value, headers): (i64, String, String, String, String),
) -> Option<Outgoing> {
    let headers: Vec<(String, String)> = serde_json::from_str(&headers).ok()?;
    // A dozen names in all, kept for ever.
    let mut known =
        |name: String| *names.entry(name).or_insert_with_key(|name| Box::leak(name.clone().into_boxed_str()));
    Some(Outgoing {
        topic: Arc::from(topic),
        key: Arc::from(key),
        value: Json::parse(value.as_bytes()).ok()?,
        headers: headers.into_iter().map(|(name, value)| (known(name), value)).collect(),
        timestamp: None,
    })
}
