//! Where Kafka and Postgres are, and who says who somebody is.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::KafkaSettings;
use crate::store::Console;

use super::failure::{Exit, Failure};
use super::oidc::Issuer;

/// A statement that a request asks for ends after this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements of requests at once; the others wait.
const READERS: u32 = 6;

/// What requests are answered from.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Connections that cannot write.
    pub reading: Console,
    /// Connections that ask engines, and tell the audit.
    pub asking: Console,
    /// Kafka, to read single records; `None`: it is not configured.
    pub kafka: Option<KafkaSettings>,
    /// Whose tokens let people in beside our own.
    pub issuer: Option<Arc<Issuer>>,
}

/// Where Kafka and Postgres are, as configured.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `SAGABUS_KAFKA`: `host:port`, comma separated.
    pub kafka: Option<String>,
    /// `SAGABUS_DATABASE_URL`: `postgres://...`.
    pub database_url: Option<String>,
    /// `SAGABUS_GROUP`: engines of one group share the work.
    pub group: String,
    /// `SAGABUS_KAFKA_PROPERTIES`: `name=value`, comma separated.
    pub kafka_properties: Vec<String>,
    /// `SAGABUS_OIDC_ISSUER` and what belongs to it: people who log in elsewhere.
    pub issuer: Option<Arc<Issuer>>,
}

impl Places {
    /// Kafka's settings.
    ///
    /// # Errors
    /// It is not configured, or a property may not be set.
    pub fn kafka(&self, instance: Option<&str>) -> Result<KafkaSettings, Failure> {
        let hint = "set SAGABUS_KAFKA=host:port, or say --kafka";
        let bootstrap =
            self.kafka.as_deref().ok_or_else(|| Failure::new(Exit::Usage, "no Kafka is configured", hint))?;
        let mut settings = KafkaSettings::new(bootstrap, &self.group, instance.map(str::to_owned));
        for property in &self.kafka_properties {
            let (name, value) = property.split_once('=').unwrap_or((property, ""));
            settings = settings.with(name, value).map_err(|error| Failure::new(Exit::Usage, error, ""))?;
        }
        Ok(settings)
    }

    /// Postgres's address.
    ///
    /// # Errors
    /// It is not configured.
    pub fn database_url(&self) -> Result<&str, Failure> {
        let hint = "set SAGABUS_DATABASE_URL=postgres://user:password@host/database, or say --database-url";
        self.database_url.as_deref().ok_or_else(|| Failure::new(Exit::Usage, "no database is configured", hint))
    }

    /// A connection for people and tools.
    ///
    /// # Errors
    /// It is not configured, or does not answer.
    pub async fn console(&self) -> Result<Console, Failure> {
        Ok(Console::connect(self.database_url()?).await?)
    }

    /// Connections for requests: they connect when they are first used, and outlive the database's outages.
    ///
    /// # Errors
    /// It is not configured, or its address cannot be read.
    pub fn desk(&self) -> Result<Desk, Failure> {
        let url = self.database_url()?;
        let reading = Console::read_only_lazily(url, REQUEST_TIMEOUT, READERS)?;
        let (kafka, issuer) = (self.kafka(None).ok(), self.issuer.clone());
        Ok(Desk { reading, asking: Console::lazily(url)?, kafka, issuer })
    }

    /// A connection that cannot write, for checks: they may take their time.
    ///
    /// # Errors
    /// It is not configured, or does not answer.
    pub async fn reading(&self) -> Result<Console, Failure> {
        Ok(Console::read_only(self.database_url()?, None).await?)
    }
}
