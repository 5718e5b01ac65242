//! Kafka's client waits for its answers where it is asked. So it is asked on a thread that may wait.

use crate::bus::{KafkaSettings, LogPlace, LogReader};
use crate::wire::Record;

use super::failure::{Exit, Failure};

/// Records that are read at once.
const PAGE: usize = 500;

/// Asks on a thread of its own.
///
/// # Errors
/// The question's own, or that of a thread that did not come back (exit 1).
pub(super) async fn on_a_thread<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let answered = tokio::task::spawn_blocking(question).await;
    answered.map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))?
}

/// The records from an offset on to before another one, at most `most`.
pub(super) async fn read(
    settings: &KafkaSettings,
    topic: &str,
    partition: i32,
    (from, end): (i64, i64),
    most: usize,
) -> Result<Vec<Record>, Failure> {
    let (settings, topic) = (settings.clone(), topic.to_owned());
    on_a_thread(move || {
        let (from, end) = (LogPlace::Offset(from), LogPlace::Offset(end));
        let mut log = LogReader::open(&settings, &topic, partition, Some(from), Some(end))?;
        let mut found = Vec::new();
        while found.len() < most {
            let records = log.take(PAGE.min(most - found.len()))?;
            if records.is_empty() {
                break;
            }
            found.extend(records);
        }
        Ok(found)
    })
    .await
}
