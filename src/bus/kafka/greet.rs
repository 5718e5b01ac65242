//! The first word with a cluster. One that refuses us is told from one that is away: a wrong password must not look like an outage.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

use super::super::BusError;
use super::settings::KafkaSettings;

const ASK_AT_MOST: Duration = Duration::from_secs(10);
/// How long one question waits, so that a refusal is heard soon.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Why a cluster does not say what it is.
#[derive(Debug, thiserror::Error)]
pub enum GreetError {
    /// It knows no such user, or another password: waiting does not help.
    #[error(transparent)]
    Refused(BusError),
    /// It does not answer.
    #[error(transparent)]
    Unreachable(BusError),
}

/// Why the cluster refuses us, if it does.
#[derive(Default)]
struct Heard(Mutex<Option<String>>);

impl ClientContext for Heard {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "first word with Kafka");
        if matches!(error, KafkaError::Global(RDKafkaErrorCode::Authentication)) {
            *self.0.lock().expect("nothing panics while it holds the reason") = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Heard {}

/// How many brokers the cluster has.
pub(super) fn greet(settings: &KafkaSettings) -> Result<usize, GreetError> {
    let failed =
        |message: String| BusError { attempted: format!("ask for the cluster at {}", settings.bootstrap), message };
    // A consumer, since only what is polled hears of errors.
    let client: BaseConsumer<Heard> = BaseConsumer::from_config_and_context(&settings.lookup(), Heard::default())
        .map_err(|error| GreetError::Unreachable(failed(error.to_string())))?;
    let until = Instant::now() + ASK_AT_MOST;
    loop {
        let error = match client.fetch_metadata(None, ASK_AGAIN) {
            Ok(metadata) => return Ok(metadata.brokers().len()),
            Err(error) => error,
        };
        while client.poll(Duration::ZERO).is_some() {}
        if let Some(reason) = client.context().0.lock().expect("nothing panics while it holds the reason").take() {
            return Err(GreetError::Refused(failed(reason)));
        }
        if Instant::now() > until {
            return Err(GreetError::Unreachable(failed(error.to_string())));
        }
    }
}
