//! A saga as programs start one: once for each business key, however often they ask.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::Json;
use crate::store::{AuditEntry, Console};

use super::access::Caller;
use super::failure::{Exit, Failure};
use super::opened::{Opened, open};
use super::places::Desk;
use super::start::{LOOK, prepare, publish};

/// How long a request waits for an engine to start the saga.
const WAIT: Duration = Duration::from_secs(10);

/// A saga that is asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartRequest {
    /// The definition's name.
    pub definition: String,
    /// The data of the trigger, from which the business key follows.
    #[schema(value_type = serde_json::Value)]
    pub data: Json,
}

/// Whether a saga was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum StartOutcome {
    /// By this request.
    Started,
    /// It was there, begun by the same data.
    Exists,
    /// The trigger lies in Kafka, and no engine has come to it within 10 s.
    Published,
}

/// A saga that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartedJson {
    /// Its id.
    pub saga_id: Uuid,
    /// Its business key.
    pub business_key: String,
    /// Whether it was begun.
    pub outcome: StartOutcome,
}

/// The saga with this business key.
async fn there(console: &Console, definition: &str, business_key: &str) -> Result<Option<Opened>, Failure> {
    let found = console.find(&[business_key], Some(definition)).await?;
    match found.into_iter().find(|saga| &*saga.row.business_key == business_key) {
        Some(saga) => open(console, saga.row.id).await.map(Some),
        None => Ok(None),
    }
}

/// A saga that is there already, if it was begun by the same data.
fn same(opened: &Opened, data: &Json) -> Result<StartedJson, Failure> {
    let (saga_id, business_key) = (opened.saga.id, opened.saga.business_key.to_string());
    if opened.saga.trigger.data == *data {
        return Ok(StartedJson { saga_id, business_key, outcome: StartOutcome::Exists });
    }
    let message = format!("saga {saga_id} has the business key {business_key} and was started by other data");
    Err(Failure::new(Exit::Refused, message, "a business key is for one saga"))
}

/// Publishes a trigger unless its saga is there, and waits until an engine has started it.
///
/// # Errors
/// There is no such definition for the caller (exit 3), the data do not fit it (2), the saga is there with other data (4), Kafka or the
/// database do not answer (6).
pub async fn start_for(desk: &Desk, caller: &Caller, request: &StartRequest) -> Result<StartedJson, Failure> {
    let StartRequest { definition, data } = request;
    if definition.contains('\0') || !caller.may_see(definition) {
        let message = format!("there is no active definition {definition}");
        return Err(Failure::new(Exit::NotFound, message, ""));
    }
    let data = Json::foreign(data.get().trim().as_bytes())
        .map_err(|error| Failure::new(Exit::Usage, format!("data: {error}"), ""))?;
    let prepared = prepare(&desk.reading, definition, data.clone()).await?;
    let key = prepared.business_key.as_str();
    if let Some(opened) = there(&desk.reading, definition, key).await? {
        return same(&opened, &data);
    }
    let settings = desk.kafka.as_ref();
    let settings = settings.ok_or_else(|| Failure::new(Exit::Unreachable, "no Kafka is configured here", ""))?;
    let saga_id = publish(settings, &prepared, None).await?;
    let entry = AuditEntry {
        who: caller.who.clone(),
        verb: "start".to_owned(),
        target: saga_id.to_string(),
        reason: String::new(),
        outcome: "published".to_owned(),
        message: Some(format!("{definition} {key}")),
    };
    desk.asking.tell(&entry).await?;
    let until = Instant::now() + WAIT;
    while Instant::now() < until {
        match there(&desk.reading, definition, key).await? {
            Some(opened) if opened.saga.id == saga_id => {
                return Ok(StartedJson { saga_id, business_key: key.to_owned(), outcome: StartOutcome::Started });
            }
            // Another trigger of this key was faster.
            Some(opened) => return same(&opened, &data),
            None => tokio::time::sleep(LOOK).await,
        }
    }
    Ok(StartedJson { saga_id, business_key: key.to_owned(), outcome: StartOutcome::Published })
}
