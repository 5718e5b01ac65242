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
/// Numbers of idle sagas: no others come so far.
const IDLE_FROM: u64 = 1_000_000_000_000;
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

/// Something that happens to the engine while sagas are in flight.
pub(super) struct Strike {
    /// So long after the beginning.
    pub(super) after: Duration,
    /// What happens.
    pub(super) act: Box<dyn FnOnce() + Send>,
}

/// What followed a strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recovery {
    /// The longest time without an end.
    pub(super) silence: Duration,
    /// From the strike until no more was in flight than before.
    pub(super) drained: Duration,
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
    /// What followed the strike, if there was one and all was well in the end.
    pub(super) recovery: Option<Recovery>,
}

/// A strike that has happened.
struct Struck {
    at: Instant,
    in_flight: usize,
    last_end: Instant,
    silence: Duration,
    drained: Option<Duration>,
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

    /// Begins sagas at this pace and sees all of them end, also after a strike. Blocking.
    pub(super) fn run(&mut self, pace: &Pace, mut strike: Option<Strike>) -> Measured {
        let started = Instant::now();
        let mut struck: Option<Struck> = None;
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
            let seen = self.see_ends(&mut measured);
            ended += seen;
            if let Some(Strike { act, .. }) = strike.take_if(|strike| strike.after <= started.elapsed()) {
                struck = Some(Struck::now(self.intended.len()));
                act();
            } else if let Some(struck) = &mut struck {
                struck.see(seen, self.intended.len());
            }
            measured.is_hopeless |= struck.is_none() && is_hopeless(pace, self.intended.len());
            let is_over = match pace {
                Pace::Closed { sagas, .. } => ended >= *sagas,
                Pace::Open(moments) => place == moments.len() && self.intended.is_empty(),
            };
            if is_over || measured.is_hopeless {
                measured.elapsed = started.elapsed();
                measured.recovery = struck.and_then(Struck::recovery);
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

    /// Begins sagas that nobody answers. Blocking, until the broker has them.
    pub(super) fn begin_idle(&mut self, sagas: u64) {
        for chunk in (0..sagas).step_by(POLL_MAX) {
            let numbers = chunk..sagas.min(chunk + POLL_MAX as u64);
            let records = numbers.flat_map(|number| self.case.records(&self.name, IDLE_FROM + number, true).1);
            self.next_tag += 1;
            self.producer.emit(self.next_tag, records);
            while self.producer.unacknowledged() > 0 {
                self.see_ends(&mut Measured::default());
            }
        }
    }

    fn begin(&mut self, intended: &[Instant]) {
        let mut records = Vec::with_capacity(intended.len());
        for at in intended {
            let (key, begun) = self.case.records(&self.name, self.begun, false);
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

impl Struck {
    fn now(in_flight: usize) -> Self {
        let now = Instant::now();
        Self { at: now, in_flight, last_end: now, silence: Duration::ZERO, drained: None }
    }

    fn see(&mut self, ended: u64, in_flight: usize) {
        if ended == 0 {
            return;
        }
        self.silence = self.silence.max(self.last_end.elapsed());
        self.last_end = Instant::now();
        // What was announced before the strike still comes in: nothing has recovered before something had been held up.
        if self.drained.is_none() && self.silence > POLL * 50 && in_flight <= self.in_flight {
            self.drained = Some(self.at.elapsed());
        }
    }

    fn recovery(self) -> Option<Recovery> {
        Some(Recovery { silence: self.silence, drained: self.drained? })
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
            recovery: None,
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
