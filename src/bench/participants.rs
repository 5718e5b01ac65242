//! All five participants: they answer at once, and refuse step four of the sagas that are to fail. No barrier: what is measured is
//! the engine and its stores.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::bus::{BusError, Group, KafkaSettings, Producer};
use crate::core::{Action, Answer, Json, Outcome};
use crate::wire;

const BATCH: usize = 1_000;
const POLL: Duration = Duration::from_millis(20);

/// Answers until `stop` is set. Blocking.
pub(super) fn answer(kafka: &KafkaSettings, topics: &[&str], stop: &AtomicBool) -> Result<(), BusError> {
    let mut group = Group::join(kafka, topics)?;
    let mut producer = Producer::new(kafka)?;
    let done = Json::parse(format!(r#"{{"reference":"{}"}}"#, "r".repeat(80)).as_bytes()).expect("it is JSON");
    let mut tag = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut records = Vec::new();
        for (record, event) in group.poll(BATCH, POLL) {
            let Ok(command) = event.and_then(|event| wire::received(&record, &event)) else { continue };
            let fails = command.action == Action::Do && &*command.step == "s4" && command.data.get().contains(FAILS);
            let answer = Answer {
                id: uuid::Uuid::new_v5(&command.id, b"answer").to_string().into(),
                outcome: if fails { Outcome::Failure } else { Outcome::Success },
                data: done.clone(),
                code: fails.then(|| "REFUSED".into()),
                retryable: false,
                without_effect: false,
            };
            records.push(wire::answer(&command, "bench", &answer));
        }
        if !records.is_empty() {
            tag += 1;
            producer.emit(tag, records);
        }
        _ = producer.delivered();
        // An answer that is lost with this process is asked for again: offsets need not wait here.
        group.commit();
    }
    Ok(())
}

/// What a trigger carries whose saga is to fail.
pub(super) const FAILS: &str = "\"fails\":true";
