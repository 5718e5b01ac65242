//! How an engine that one side does not answer makes room for its peers: it must not hold what others could go on with.
//!
//! ```text
//! Postgres silent for 10 s ------------------------> leaves the group -------------------> joins again once it has registered
//! something on its way or asked, Kafka silent for 30 s -> leaves the group, no heartbeat -> registers after 12 s, once Kafka answers
//!                                                    (a peer takes over what it had not sent, and what it had claimed)
//! ```

use crate::bus::Bus;
use crate::store::Store;

use super::clock::Clock;
use super::{Engine, giveup};

/// Without Postgres for this long an engine leaves its partitions to others.
const DATABASE_SILENT: i64 = 10_000_000;
/// Without a word of the broker about what was sent or asked for this long an engine stands aside: longer than most outages, which all
/// engines share, and which nobody can make good.
const BROKER_SILENT: i64 = 30_000_000;
/// How long it stands aside at least: a writer is dead after 8 s, and peers look for dead ones every 2 s. Only its producer may be cut
/// off, so that the broker seems to answer.
const ASIDE: i64 = 12_000_000;

/// Topics that are asked for before the broker is taken for silent: one or two may be gone.
const TOPICS_ASKED: usize = 3;

/// What an engine knows of silence, in microseconds of its machine's clock.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Since when something is on its way of which the broker has not said a word.
    unheard_since: Option<i64>,
    /// Since when the broker has not answered what give-ups ask.
    unanswered_since: Option<i64>,
    /// Since when the engine stands aside.
    aside_since: Option<i64>,
    /// Since when Postgres lets it not begin.
    database_since: Option<i64>,
    /// Topics that were asked for, to see whether the broker answers.
    asked: usize,
}

impl<S: Store, B: Bus, C: Clock> Engine<S, B, C> {
    /// Takes note of whether the broker said something of what was sent.
    pub(super) fn listened(&mut self, is_heard: bool) {
        let now = self.clock.monotonic_micros();
        let is_quiet = is_heard || self.emission.len() == 0;
        self.silence.unheard_since = if is_quiet { None } else { self.silence.unheard_since.or(Some(now)) };
    }

    /// Takes note of whether the broker answered a question. An engine that cannot ask may not give up what it has claimed, and would
    /// claim it again and again from those that can.
    pub(super) fn asked(&mut self, is_answered: bool) {
        let now = self.clock.monotonic_micros();
        self.silence.unanswered_since = if is_answered { None } else { self.silence.unanswered_since.or(Some(now)) };
    }

    /// Stands aside when the broker has been silent for long: the engine is not ready then, and begins anew.
    pub(super) async fn stand_aside_if_unheard(&mut self) {
        let now = self.clock.monotonic_micros();
        let is_long = |since: Option<i64>| since.is_some_and(|since| now - since >= BROKER_SILENT);
        if is_long(self.silence.unanswered_since) && self.broker_answers().await {
            self.silence.unanswered_since = None;
        }
        if !is_long(self.silence.unheard_since) && !is_long(self.silence.unanswered_since) {
            return;
        }
        tracing::error!(
            batches = self.emission.len(),
            "broker says nothing of what was sent or asked, standing aside for others"
        );
        self.silence = Silence { aside_since: Some(now), ..Silence::default() };
        self.leave_group();
        self.health.set_ready(false);
    }

    /// True while the engine stands aside. One that is cut off does so until the broker answers, or it would be fenced and fence others
    /// for ever.
    pub(super) async fn stands_aside(&mut self) -> bool {
        let Some(since) = self.silence.aside_since else { return false };
        self.clock.monotonic_micros() - since < ASIDE || !self.broker_answers().await
    }

    /// True when the broker tells of one of some topics, others each time, or when there is none to ask for.
    async fn broker_answers(&mut self) -> bool {
        let topics = self.catalog.topics();
        for _ in 0..TOPICS_ASKED.min(topics.len()) {
            self.silence.asked = (self.silence.asked + 1) % topics.len();
            if self.bus.ends(&topics[self.silence.asked], giveup::ASK_AT_MOST).await.is_ok() {
                return true;
            }
        }
        topics.is_empty()
    }

    /// Takes note that Postgres does not let the engine begin: its partitions are left to others after a while.
    pub(super) fn could_not_begin(&mut self) {
        let now = self.clock.monotonic_micros();
        let since = *self.silence.database_since.get_or_insert(now);
        if now - since >= DATABASE_SILENT {
            self.leave_group();
        }
    }

    fn leave_group(&mut self) {
        if !self.subscribed.is_empty() {
            tracing::warn!("leaving the consumer group until this engine can go on");
            self.bus.subscribe(&[]);
            self.subscribed.clear();
        }
    }
}
