//! How an engine that one side does not answer makes room for its peers: it must not hold what others could go on with.
//!
//! ```text
//! Postgres silent for 10 s ------------------------> leaves the group -------------------> joins again once it has registered
//! something on its way, Kafka silent for 30 s -----> leaves the group, no heartbeat -----> registers after 12 s, once Kafka answers
//!                                                    (a peer takes over what it had not sent)
//! ```

use crate::bus::Bus;
use crate::store::Store;

use super::clock::Clock;
use super::{Engine, giveup};

/// Without Postgres for this long an engine leaves its partitions to others.
const DATABASE_SILENT: i64 = 10_000_000;
/// Without a word of the broker about what was sent for this long an engine stands aside: longer than most outages, which all engines
/// share, and which nobody can make good.
const BROKER_SILENT: i64 = 30_000_000;
/// How long it stands aside at least: a writer is dead after 8 s, and peers look for dead ones every 2 s. Only its producer may be cut
/// off, so that the broker seems to answer.
const ASIDE: i64 = 12_000_000;

/// What an engine knows of silence, in microseconds of its machine's clock.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// Since when something is on its way of which the broker has not said a word.
    unheard_since: Option<i64>,
    /// Since when the engine stands aside.
    aside_since: Option<i64>,
    /// Since when Postgres lets it not begin.
    database_since: Option<i64>,
    /// How often the broker was asked whether it answers.
    asked: usize,
}

impl<S: Store, B: Bus, C: Clock> Engine<S, B, C> {
    /// Takes note of whether the broker said something of what was sent.
    pub(super) fn listened(&mut self, is_heard: bool) {
        let now = self.clock.monotonic_micros();
        let is_quiet = is_heard || self.emission.len() == 0;
        self.silence.unheard_since = if is_quiet { None } else { self.silence.unheard_since.or(Some(now)) };
    }

    /// Stands aside when the broker has been silent for long: the engine is not ready then, and begins anew.
    pub(super) fn stand_aside_if_unheard(&mut self) {
        let now = self.clock.monotonic_micros();
        if self.silence.unheard_since.is_none_or(|since| now - since < BROKER_SILENT) {
            return;
        }
        tracing::error!(
            batches = self.emission.len(),
            "broker says nothing of what was sent, standing aside for others"
        );
        self.silence = Silence { aside_since: Some(now), ..Silence::default() };
        self.leave_group();
        self.health.set_ready(false);
    }

    /// True while the engine stands aside. One that is cut off does so until the broker answers, or it would be fenced and fence others
    /// for ever.
    pub(super) async fn stands_aside(&mut self) -> bool {
        let Some(since) = self.silence.aside_since else { return false };
        if self.clock.monotonic_micros() - since < ASIDE {
            return true;
        }
        // Another topic each time: one of them may be gone.
        self.silence.asked += 1;
        let topics = self.catalog.topics();
        let Some(topic) = topics.get(self.silence.asked % topics.len().max(1)) else { return false };
        self.bus.ends(topic, giveup::ASK_AT_MOST).await.is_err()
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
