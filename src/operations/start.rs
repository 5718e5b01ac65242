//! A saga from the command line: the trigger is published like any other.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::bus::{Admin, Delivery, Producer};
use crate::core::{Json, Phase, Timestamp, Trigger, saga_id};
use crate::definition::{Compiled, Source, TriggerMatch};
use crate::engine::wall_clock;
use crate::store::Console;
use crate::wire;

use super::failure::{Exit, Failure};
use super::places::Places;

const LOOK: Duration = Duration::from_millis(50);
const SEND: Duration = Duration::from_secs(10);

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
    let row = console.active_definition(name).await?;
    let hint = "sagabus serve --definitions DIR deploys definitions";
    let row = row.ok_or_else(|| Failure::new(Exit::NotFound, format!("there is no active definition {name}"), hint))?;
    let source = Source::from_body(&row.body).map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))?;
    let plan = Compiled::load(&source)?;
    let definition = plan.definition();
    let data = Json::foreign(data.as_bytes())
        .map_err(|error| Failure::new(Exit::Usage, format!("--data: {error}"), "give JSON, or a file of it"))?;
    let now = wall_clock();
    let trigger = Trigger {
        topic: definition.trigger_topic.clone(),
        partition: 0,
        offset: 0,
        timestamp: now,
        id: None,
        kind: definition.trigger_type.clone(),
        data: data.clone(),
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
    let settings = places.kafka(None)?;
    Admin::connect(&settings)?.watermarks(&definition.trigger_topic)?;
    let mut producer = Producer::new(&settings)?;
    let id = Uuid::new_v5(&Uuid::nil(), format!("{name} {business_key} {}", now.micros()).as_bytes()).to_string();
    let record_key = key.unwrap_or(&business_key);
    let record =
        wire::new_trigger(&definition.trigger_topic, record_key, &definition.trigger_type, &id, "/sagabus/start", data);
    producer.emit(1, vec![record.at(now)]);
    let until = Instant::now() + SEND;
    while Instant::now() < until {
        match producer.delivered().into_iter().next() {
            Some(Delivery::Acknowledged { .. }) => {
                // Kafka keeps milliseconds: the id is derived from what it keeps.
                let kept = Timestamp::from_millis(now.micros() / 1_000);
                let id = saga_id(name, &business_key, kept);
                return Ok((business_key, id));
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
    Err(Failure::new(
        Exit::TimedOut,
        format!("saga {business_key} has not ended in {} s", at_most.as_secs()),
        "sagabus show says what it waits for",
    ))
}
