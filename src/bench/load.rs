//! The generator: begins sagas, sees them end, keeps the latency of each from its intended start.

use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::bus::{BusError, Group, KafkaSettings, Producer};
use crate::core::Json;
use crate::wire;

use super::participants::FAILS;

/// How sagas are begun.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So many in flight.
    InFlight(u64),
    /// So many a second, whatever becomes of them.
    Rate(f64),
}

/// Begins sagas and sees them end.
#[derive(Debug)]
pub(super) struct Load {
    name: String,
    producer: Producer,
    ends: Group,
    begun: u64,
    intended: HashMap<String, Instant>,
    next_tag: u64,
}

/// What a part of the run came to.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) elapsed: Duration,
    pub(super) latency: Histogram<u64>,
    pub(super) outcomes: HashMap<String, u64>,
}

impl Load {
    pub(super) fn new(kafka: &KafkaSettings, name: &str) -> Result<Self, BusError> {
        let ends = Group::join(&kafka.for_group(&format!("{name}-watch")), &[&format!("{name}.events")])?;
        Ok(Self {
            name: name.to_owned(),
            producer: Producer::new(kafka)?,
            ends,
            begun: 0,
            intended: HashMap::new(),
            next_tag: 0,
        })
    }

    /// Runs so many sagas to their ends. Blocking.
    pub(super) fn run(&mut self, sagas: u64, pace: Pace, fail_percent: u8) -> Measured {
        let started = Instant::now();
        let mut measured = Measured {
            elapsed: Duration::ZERO,
            latency: Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds are in order"),
            outcomes: HashMap::new(),
        };
        let (mut begun, mut ended) = (0, 0);
        while ended < sagas {
            let now = Instant::now();
            let wanted = match pace {
                Pace::InFlight(most) => (ended + most).min(sagas),
                Pace::Rate(rate) => {
                    (1..).take_while(|n| at(started, *n, rate) <= now).last().unwrap_or(begun).max(begun).min(sagas)
                }
            };
            let mut records = Vec::new();
            while begun < wanted {
                let intended = if let Pace::Rate(rate) = pace { at(started, begun, rate) } else { now };
                records.push(self.trigger(intended, fail_percent));
                begun += 1;
            }
            if !records.is_empty() {
                self.next_tag += 1;
                self.producer.emit(self.next_tag, records);
            }
            _ = self.producer.delivered();
            for (record, event) in self.ends.poll(2_000, Duration::from_millis(1)) {
                let key = record.key().map(String::from_utf8_lossy).unwrap_or_default();
                let Some(intended) = self.intended.remove(&*key) else { continue };
                let micros = u64::try_from(intended.elapsed().as_micros()).unwrap_or(u64::MAX);
                measured.latency.saturating_record(micros);
                let outcome = event.ok().and_then(|event| event.kind().map(str::to_owned)).unwrap_or_default();
                *measured.outcomes.entry(outcome).or_insert(0) += 1;
                ended += 1;
            }
        }
        measured.elapsed = started.elapsed();
        measured
    }

    fn trigger(&mut self, intended: Instant, fail_percent: u8) -> wire::Outgoing {
        let number = self.begun;
        self.begun += 1;
        let key = format!("{}-{number}", self.name);
        // A fixed stride spreads the failures evenly.
        let fails =
            if number.wrapping_mul(37) % 100 < u64::from(fail_percent) { format!(",{FAILS}") } else { String::new() };
        let data = format!(r#"{{"id":"{key}","amount":100,"note":"{}"{fails}}}"#, "n".repeat(400));
        self.intended.insert(key.clone(), intended);
        let data = Json::parse(data.as_bytes()).expect("it is JSON");
        wire::new_trigger(&format!("{}.triggers", self.name), &key, "go", &key, "/sagabus/bench", data)
    }
}

/// When the `number`-th saga is intended to start.
#[expect(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 sagas")]
fn at(started: Instant, number: u64, rate: f64) -> Instant {
    started + Duration::from_secs_f64(number as f64 / rate)
}
