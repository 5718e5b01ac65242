//! Every choice of a schedule comes from here: from a seed, or from a recorded tape. 0 is always the simplest choice (no fault, the
//! shortest delay, the smallest size), so a tape is shrunk by making its numbers smaller and its end shorter.

/// Chooses, and records what was chosen.
#[derive(Debug)]
pub(crate) struct Choices {
    chance: fastrand::Rng,
    /// Choices to make again; behind its end everything is 0. `None`: by chance.
    tape: Option<Vec<u32>>,
    /// What was chosen.
    pub(crate) made: Vec<u32>,
}

impl Choices {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self { chance: fastrand::Rng::with_seed(seed), tape: None, made: Vec::new() }
    }

    pub(crate) fn from_tape(tape: Vec<u32>) -> Self {
        Self { chance: fastrand::Rng::with_seed(0), tape: Some(tape), made: Vec::new() }
    }

    /// One of `count` numbers from 0.
    pub(crate) fn below(&mut self, count: u32) -> u32 {
        if count <= 1 {
            return 0;
        }
        let chosen = match &self.tape {
            Some(tape) => tape.get(self.made.len()).copied().unwrap_or(0).min(count - 1),
            None => self.chance.u32(0..count),
        };
        self.made.push(chosen);
        chosen
    }

    /// From `low` to `high`, both possible.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True this often, in 10,000. What never happens costs no choice.
    pub(crate) fn happens(&mut self, in_10_000: u32) -> bool {
        in_10_000 > 0 && self.below(10_000) >= 10_000 - in_10_000.min(10_000)
    }

    /// Small numbers mostly, up to `most` seldom: each doubling is half as likely.
    pub(crate) fn heavy_tailed(&mut self, most: u32) -> u32 {
        let mut bound = 2;
        while bound < most && self.below(2) == 1 {
            bound = (bound * 2).min(most);
        }
        self.below(bound.min(most) + 1)
    }
}
