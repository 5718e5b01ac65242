//! All five participants: they answer at once, or where they are told to be slow after half a second, and refuse step four of the
//! sagas that are to fail. No barrier: what is measured is the engine and its stores.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::bus::{BusError, Group, KafkaSettings, Producer};
use crate::core::{Action, Answer, Json, Outcome};
use crate::wire::{self, Outgoing, Received};

use super::case::{FAILS, IDLE, SLOW};

const BATCH: usize = 1_000;
const POLL: Duration = Duration::from_millis(20);
/// How long a slow participant takes.
const SLOWNESS: Duration = Duration::from_millis(500);
/// While answers are held back it is looked this often whether one is due.
const POLL_SLOW: Duration = Duration::from_millis(5);

/// Answers until `stop` is set. Blocking.
pub(super) fn answer(kafka: &KafkaSettings, topics: &[&str], stop: &AtomicBool) -> Result<(), BusError> {
    let mut group = Group::join(kafka, topics)?;
    let mut producer = Producer::new(kafka)?;
    let done = Json::parse(format!(r#"{{"reference":"{}"}}"#, "r".repeat(80)).as_bytes()).expect("it is JSON");
    // All slow ones are equally slow, so they become due in the order in which they came.
    let mut held_back: VecDeque<(Instant, Outgoing)> = VecDeque::new();
    let mut tag = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut records = Vec::new();
        for (record, event) in group.poll(BATCH, if held_back.is_empty() { POLL } else { POLL_SLOW }) {
            let Ok(command) = event.and_then(|event| wire::received(&record, &event)) else { continue };
            if command.data.get().contains(IDLE) {
                continue;
            }
            let answer = answered(&command, &done);
            if is_slow(&command) {
                held_back.push_back((Instant::now() + SLOWNESS, answer));
            } else {
                records.push(answer);
            }
        }
        while held_back.front().is_some_and(|(due, _)| *due <= Instant::now()) {
            records.extend(held_back.pop_front().map(|(_, answer)| answer));
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

fn is_slow(command: &Received) -> bool {
    command.action == Action::Do && &*command.step == "s2" && command.data.get().contains(SLOW)
}

fn answered(command: &Received, done: &Json) -> Outgoing {
    let fails = command.action == Action::Do && &*command.step == "s4" && command.data.get().contains(FAILS);
    let answer = Answer {
        id: uuid::Uuid::new_v5(&command.id, b"answer").to_string().into(),
        outcome: if fails { Outcome::Failure } else { Outcome::Success },
        data: done.clone(),
        code: fails.then(|| "REFUSED".into()),
        retryable: false,
        without_effect: false,
    };
    wire::answer(command, "bench", &answer)
}
