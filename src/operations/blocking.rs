//! Kafka's client waits for its answers where it is asked. So it is asked on a thread that may wait.

use super::failure::{Exit, Failure};

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
