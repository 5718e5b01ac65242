//! A saga that a person starts: the trigger is published like any other.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::bus::{Admin, Delivery, KafkaSettings, Producer};
use crate::core::{Json, Phase, Timestamp, Trigger, saga_id};
use crate::definition::{Compiled, Source, TriggerMatch};
use crate::engine::wall_clock;
use crate::store::Console;
use crate::wire;

use super::blocking::on_a_thread;
use super::failure::{Exit, Failure};
use super::places::Places;

pub(super) const LOOK: Duration = Duration::from_millis(50);
const SEND: Duration = Duration::from_secs(10);

/// A trigger that the active definition of its name accepts.
pub(super) struct Prepared {
    definition: String,
    topic: Arc<str>,
    kind: Arc<str>,
    pub(super) business_key: String,
    data: Json,
}

/// Publishes a trigger for the active definition called `name`. Returns the saga's business key and its id when it is new.
///
/// # Errors
/// There is no such definition (exit 3), the data do not fit it (exit 2), Kafka does not take it (exit 6).
pub async fn start(
    places: &Places,
    console: &Console,
    name: &str,
    data: &str,
    key: Option<&str>,
) -> Result<(String, Uuid), Failure> {
    let data = Json::foreign(data.as_bytes())
        .map_err(|error| Failure::new(Exit::Usage, format!("--data: {error}"), "give JSON, or a file of it"))?;
    let prepared = prepare(console, name, data).await?;
    let id = publish(&places.kafka(None)?, &prepared, key).await?;
    Ok((prepared.business_key, id))
}

/// The trigger with these data, and the business key that they lead to.
///
/// # Errors
/// There is no active definition called `name` (exit 3), or the data do not fit it (exit 2).
pub(super) async fn prepare(console: &Console, name: &str, data: Json) -> Result<Prepared, Failure> {
    let row = console.active_definition(name).await?;
    let hint = "sagabus serve --definitions DIR deploys definitions";
    let row = row.ok_or_else(|| Failure::new(Exit::NotFound, format!("there is no active definition {name}"), hint))?;
    let source = Source::from_body(&row.body).map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))?;
    let plan = Compiled::load(&source)?;
    let definition = plan.definition();
    let trigger = Trigger {
        topic: definition.trigger_topic.clone(),
        partition: 0,
        offset: 0,
        timestamp: wall_clock(),
        id: None,
        kind: definition.trigger_type.clone(),
        data,
        traceparent: None,
        tracestate: None,
    };
    let business_key = match plan.accepts(&trigger) {
        Ok(TriggerMatch::Start { business_key }) => business_key.to_string(),
        Ok(TriggerMatch::NotThisOne) => {
            return Err(Failure::new(Exit::Usage, "the definition's `when` is false for these data", ""));
        }
        Err(error) => return Err(Failure::new(Exit::Usage, error, format!("see the trigger of {name}"))),
    };
    let Trigger { topic, kind, data, .. } = trigger;
    Ok(Prepared { definition: name.to_owned(), topic, kind, business_key, data })
}

/// Publishes the trigger, and returns the id of the saga that it starts if it is the first one with its business key. The record's key
/// is the business key, if nothing else is said.
///
/// # Errors
/// Kafka does not take it (exit 6).
pub(super) async fn publish(settings: &KafkaSettings, prepared: &Prepared, key: Option<&str>) -> Result<Uuid, Failure> {
    let Prepared { definition, topic, kind, business_key, data } = prepared;
    let (asking, asked) = (settings.clone(), Arc::clone(topic));
    on_a_thread(move || Ok(Admin::connect(&asking)?.watermarks(&asked)?)).await?;
    let mut producer = Producer::new(settings)?;
    let now = wall_clock();
    let id = Uuid::new_v5(&Uuid::nil(), format!("{definition} {business_key} {}", now.micros()).as_bytes()).to_string();
    let record_key = key.unwrap_or(business_key);
    let record = wire::new_trigger(topic, record_key, kind, &id, "/sagabus/start", data.clone());
    producer.emit(1, vec![record.at(now)]);
    let until = Instant::now() + SEND;
    while Instant::now() < until {
        match producer.delivered().into_iter().next() {
            Some(Delivery::Acknowledged { .. }) => {
                // Kafka keeps milliseconds: the id is derived from what it keeps.
                let kept = Timestamp::from_millis(now.micros() / 1_000);
                return Ok(saga_id(definition, business_key, kept));
            }
            Some(Delivery::Refused { error, .. }) => {
                return Err(Failure::new(Exit::Unreachable, format!("the broker refused the trigger: {error}"), ""));
            }
            None => {}
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::new(Exit::Unreachable, "the broker did not take the trigger in time", "check SAGABUS_KAFKA"))
}

/// Waits until the saga of this business key is final or stuck. Returns its phase.
///
/// # Errors
/// Time is up (exit 124), or the database does not answer.
pub async fn wait_for_end(
    console: &Console,
    name: &str,
    business_key: &str,
    at_most: Duration,
) -> Result<Phase, Failure> {
    let until = Instant::now() + at_most;
    while Instant::now() < until {
        let found = console.find(&[business_key], Some(name)).await?;
        if let Some(saga) = found.first().filter(|saga| saga.row.phase.is_final() || saga.row.phase == Phase::Stuck) {
            return Ok(saga.row.phase);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(not_ended(business_key, at_most))
}

/// Time is up (exit 124).
pub fn not_ended(business_key: &str, at_most: Duration) -> Failure {
    let message = format!("saga {business_key} has not ended in {} s", at_most.as_secs());
    Failure::new(Exit::TimedOut, message, "sagabus show says what it waits for")
}
