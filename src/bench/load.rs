//! The generator: begins sagas, sees them end, keeps the latency of each from its intended start.

use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::bus::{BusError, Group, KafkaSettings, Producer};

use super::case::Case;

/// Latencies are kept in microseconds, to ten minutes, with three digits.
const LATENCY_MAX: u64 = 600_000_000;
/// A second's arrivals times this in flight, and an open loop is given up: it will not catch up.
const HOPELESS: usize = 4;
/// How long to wait for what has ended.
const POLL: Duration = Duration::from_millis(1);
const POLL_MAX: usize = 2_000;

/// How sagas are begun.
#[derive(Clone, Debug)]
pub(super) enum Pace {
    /// So many in flight, so many in all.
    Closed { inflight: u64, sagas: u64 },
    /// At these moments, whatever becomes of them.
    Open(Vec<Duration>),
}

/// Begins sagas and sees them end.
#[derive(Debug)]
pub(super) struct Load {
    name: String,
    case: Case,
    producer: Producer,
    ends: Group,
    begun: u64,
    intended: HashMap<String, Instant>,
    next_tag: u64,
}

/// What a part of the run came to.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) begun: u64,
    pub(super) elapsed: Duration,
    pub(super) latency: Histogram<u64>,
    pub(super) outcomes: HashMap<String, u64>,
    /// In flight when the last one had begun.
    pub(super) behind: usize,
    /// An open loop was given up: it was far behind.
    pub(super) is_hopeless: bool,
}

impl Load {
    pub(super) fn new(kafka: &KafkaSettings, name: &str, case: Case) -> Result<Self, BusError> {
        let ends = Group::join(&kafka.for_group(&format!("{name}-watch")), &[&format!("{name}.events")])?;
        Ok(Self {
            name: name.to_owned(),
            case,
            producer: Producer::new(kafka)?,
            ends,
            begun: 0,
            intended: HashMap::new(),
            next_tag: 0,
        })
    }

    /// Begins sagas at this pace and sees all of them end. Blocking.
    pub(super) fn run(&mut self, pace: &Pace) -> Measured {
        let started = Instant::now();
        let mut measured = Measured::default();
        let (mut place, mut ended) = (0, 0);
        loop {
            let due = match pace {
                Pace::Closed { inflight, sagas } => {
                    let wanted = (ended + inflight).min(*sagas);
                    (measured.begun..wanted).map(|_| Instant::now()).collect()
                }
                Pace::Open(moments) => {
                    let due = moments[place..].iter().take_while(|at| **at <= started.elapsed());
                    due.map(|at| started + *at).collect::<Vec<_>>()
                }
            };
            place += due.len();
            if !due.is_empty() {
                measured.begun += due.len() as u64;
                self.begin(&due);
                measured.behind = self.intended.len();
            }
            ended += self.see_ends(&mut measured);
            measured.is_hopeless |= is_hopeless(pace, self.intended.len());
            let is_over = match pace {
                Pace::Closed { sagas, .. } => ended >= *sagas,
                Pace::Open(moments) => place == moments.len() && self.intended.is_empty(),
            };
            if is_over || measured.is_hopeless {
                measured.elapsed = started.elapsed();
                return measured;
            }
        }
    }

    /// Sees what is in flight end, for at most so long. False: not all did. Blocking.
    pub(super) fn drain(&mut self, at_most: Duration) -> bool {
        let (started, mut nothing) = (Instant::now(), Measured::default());
        while !self.intended.is_empty() && started.elapsed() < at_most {
            self.see_ends(&mut nothing);
        }
        self.intended.is_empty()
    }

    fn begin(&mut self, intended: &[Instant]) {
        let mut records = Vec::with_capacity(intended.len());
        for at in intended {
            let (key, begun) = self.case.records(&self.name, self.begun);
            self.begun += 1;
            self.intended.insert(key, *at);
            records.extend(begun);
        }
        self.next_tag += 1;
        self.producer.emit(self.next_tag, records);
    }

    fn see_ends(&mut self, measured: &mut Measured) -> u64 {
        let mut ended = 0;
        _ = self.producer.delivered();
        for (record, event) in self.ends.poll(POLL_MAX, POLL) {
            let key = record.key().map(String::from_utf8_lossy).unwrap_or_default();
            let Some(intended) = self.intended.remove(&*key) else { continue };
            let micros = u64::try_from(intended.elapsed().as_micros()).unwrap_or(u64::MAX);
            measured.latency.saturating_record(micros);
            let outcome = event.ok().and_then(|event| event.kind().map(str::to_owned)).unwrap_or_default();
            *measured.outcomes.entry(outcome).or_insert(0) += 1;
            ended += 1;
        }
        ended
    }
}

impl Default for Measured {
    fn default() -> Self {
        Self {
            begun: 0,
            elapsed: Duration::ZERO,
            latency: Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("bounds are in order"),
            outcomes: HashMap::new(),
            behind: 0,
            is_hopeless: false,
        }
    }
}

/// An open loop that has so much in flight will not catch up before it ends.
fn is_hopeless(pace: &Pace, inflight: usize) -> bool {
    let Pace::Open(moments) = pace else { return false };
    let length = moments.last().map_or(1, |last| last.as_secs().max(1));
    let a_second = moments.len() / usize::try_from(length).unwrap_or(1).max(1);
    inflight > (HOPELESS * a_second).max(200)
}
