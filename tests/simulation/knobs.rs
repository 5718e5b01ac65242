//! How rough a schedule is. Each seed draws its own rates, and each kind of fault is off in many seeds (RELIABILITY.md section 4.2).

use super::choices::Choices;

/// Whether futures are dropped where they wait, and the same engine runs again.
pub(crate) const DROPS: bool = true;

/// Rates in 10,000, sizes and times of one schedule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knobs {
    pub(crate) engines: u32,
    pub(crate) partitions: u32,
    pub(crate) sagas: u32,
    /// How long faults happen, in milliseconds.
    pub(crate) unsafe_ms: u32,
    /// At each poll of an engine.
    pub(crate) crash: u32,
    pub(crate) stop: u32,
    /// The future of an engine is dropped where it waits, and the engine runs again.
    pub(crate) dropped: u32,
    pub(crate) has_names: bool,
    /// At each statement: the engine panics before it or after it.
    pub(crate) panics: u32,
    /// At each statement.
    pub(crate) statement_fails: u32,
    pub(crate) answer_lost: u32,
    pub(crate) statement_late: u32,
    pub(crate) contention: u32,
    pub(crate) statement_slow: u32,
    pub(crate) failovers: u32,
    pub(crate) commits_lost_max: u32,
    /// A pooler keeps the engines' connections over a fail-over: only the fence tells.
    pub(crate) pooled: bool,
    pub(crate) clock_jump_s: u32,
    /// The engines' clocks run this much too fast, in percent.
    pub(crate) drift_percent: u32,
    /// In a schedule.
    pub(crate) broker_outages: u32,
    pub(crate) rebalances: u32,
    /// Records that the bus hands over at once at most.
    pub(crate) hand_over_max: usize,
    /// In a schedule: retention passes a partition by, an operator moves one back, one is added to a topic.
    pub(crate) truncations: u32,
    pub(crate) seeks: u32,
    pub(crate) growths: u32,
    /// At each parcel: what a dead process had handed to its client, and what is written twice or refused.
    pub(crate) lost_with_process: u32,
    pub(crate) sent_twice: u32,
    pub(crate) refused: u32,
    /// Transaction markers, for each record.
    pub(crate) markers: u32,
    /// At each command or answer.
    pub(crate) fails: u32,
    pub(crate) fails_retryably: u32,
    pub(crate) undo_fails: u32,
    pub(crate) answer_dropped: u32,
    pub(crate) answer_doubled: u32,
    pub(crate) answer_slow: u32,
    pub(crate) progresses: u32,
    pub(crate) command_slow: u32,
    pub(crate) expires: u32,
    /// A participant contradicts itself: only in seeds that look whether it is detected.
    pub(crate) contradicts: u32,
    /// In a schedule.
    pub(crate) operations: u32,
    pub(crate) hostile: u32,
    pub(crate) reloads: u32,
    pub(crate) trigger_again: u32,
    /// Once the world heals an engine other than the first may stay cut off from Kafka, or from Postgres, for good.
    pub(crate) one_way: bool,
    /// In a schedule: records put aside that a person sends down the line again, as they are.
    pub(crate) redrives: u32,
    /// In a schedule: a definition, a step or a participant is held, and released some time later.
    pub(crate) holds: u32,
}

impl Knobs {
    /// The rates of one seed.
    pub(crate) fn draw(choices: &mut Choices) -> Self {
        // Off in a third of the seeds, else up to `most`.
        fn rate(choices: &mut Choices, most: u32) -> u32 {
            if choices.below(3) == 0 { 0 } else { choices.between(1, most) }
        }
        let seldom = |choices: &mut Choices, one_in: u32, most: u32| {
            if choices.below(one_in) == one_in - 1 { choices.between(1, most) } else { 0 }
        };
        let most_sagas = if choices.below(50) == 49 { 64 } else { 4 };
        Self {
            engines: 1 + choices.heavy_tailed(3),
            partitions: 1 + choices.heavy_tailed(5),
            sagas: choices.between(1, most_sagas),
            unsafe_ms: if choices.below(4) == 3 {
                choices.between(1_000, 14_000)
            } else {
                choices.between(1_000, 4_000)
            },
            crash: rate(choices, 60),
            stop: seldom(choices, 3, 30),
            dropped: if DROPS { seldom(choices, 6, 30) } else { 0 },
            has_names: choices.below(2) == 1,
            panics: seldom(choices, 6, 100),
            statement_fails: rate(choices, 150),
            answer_lost: rate(choices, 200),
            statement_late: seldom(choices, 4, 150),
            contention: rate(choices, 800),
            statement_slow: rate(choices, 200),
            failovers: seldom(choices, 8, 3),
            commits_lost_max: choices.below(30),
            pooled: choices.below(3) == 2,
            clock_jump_s: seldom(choices, 8, 86_400),
            drift_percent: seldom(choices, 6, 10),
            broker_outages: seldom(choices, 4, 3),
            rebalances: seldom(choices, 3, 6),
            hand_over_max: [usize::MAX, 20, 3, 1][usize::try_from(choices.below(4)).expect("small")],
            truncations: seldom(choices, 10, 2),
            seeks: seldom(choices, 10, 2),
            growths: seldom(choices, 8, 2),
            lost_with_process: 5_000,
            sent_twice: rate(choices, 1_000),
            refused: seldom(choices, 8, 100),
            markers: rate(choices, 1_500),
            fails: rate(choices, 1_200),
            fails_retryably: rate(choices, 2_000),
            undo_fails: rate(choices, 6_000),
            answer_dropped: rate(choices, 2_000),
            answer_doubled: rate(choices, 3_000),
            answer_slow: rate(choices, 1_500),
            progresses: rate(choices, 1_500),
            command_slow: rate(choices, 1_500),
            expires: rate(choices, 5_000),
            contradicts: if choices.below(100) == 99 { 2_000 } else { 0 },
            operations: seldom(choices, 2, 6),
            hostile: rate(choices, 6),
            reloads: seldom(choices, 5, 2),
            trigger_again: rate(choices, 3_000),
            one_way: choices.below(4) == 3,
            redrives: seldom(choices, 4, 4),
            holds: seldom(choices, 5, 3),
        }
    }

    /// No fault at all from now on.
    pub(crate) fn healed(&self) -> Self {
        Self {
            engines: self.engines,
            partitions: self.partitions,
            sagas: self.sagas,
            has_names: self.has_names,
            // No fault: participants may refuse what has expired.
            expires: self.expires,
            commits_lost_max: self.commits_lost_max,
            pooled: self.pooled,
            hand_over_max: self.hand_over_max,
            truncations: self.truncations,
            lost_with_process: self.lost_with_process,
            ..Self::default()
        }
    }

    /// A schedule without faults, of one engine.
    pub(crate) fn calm(sagas: u32) -> Self {
        Self { engines: 1, partitions: 1, sagas, unsafe_ms: 1_000, hand_over_max: usize::MAX, ..Self::default() }
    }
}
