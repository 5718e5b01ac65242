//! Retry of a step as a pure function: how long until attempt n. Retry of I/O is `engine/reconnect.rs`; the two never mix.

use super::hash::Sha256;

/// When a definite, retryable failure is tried again. Names follow Temporal's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one counted.
    pub maximum_attempts: u16,
    /// Delay before the second attempt, in milliseconds.
    pub initial_interval_ms: u64,
    /// Growth of the delay from attempt to attempt, in thousandths (2000 doubles it): whole numbers, so that every machine
    /// computes the same moment.
    pub backoff_coefficient_milli: u64,
    /// The delay never exceeds this, in milliseconds. Also the pace at which a step is asked again once patience has ended.
    pub maximum_interval_ms: u64,
    /// How the delay is spread.
    pub jitter: Jitter,
}

/// How a retry's delay is spread, so that sagas which failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// A value in `[0, delay]`, from a hash of the attempt's name: the same each time it is asked for.
    Full,
    /// The delay itself.
    None,
}

impl RetryPolicy {
    /// Milliseconds to wait after `failures` failures in a row (1 or more): `min(maximum, initial * coefficient^(failures - 1))`,
    /// spread by the policy's jitter; `seed` names the attempt.
    pub fn delay_ms(&self, failures: u16, seed: &[u8]) -> u64 {
        let mut delay = u128::from(self.initial_interval_ms);
        let maximum = u128::from(self.maximum_interval_ms);
        for _ in 1..failures {
            if delay >= maximum || self.backoff_coefficient_milli <= 1_000 {
                break;
            }
            delay = delay * u128::from(self.backoff_coefficient_milli) / 1_000;
        }
        let delay = u64::try_from(delay.min(maximum)).unwrap_or(u64::MAX);
        match self.jitter {
            Jitter::None => delay,
            Jitter::Full => {
                let digest = Sha256::of(seed);
                let mut bytes = [0_u8; 8];
                bytes.copy_from_slice(&digest.as_bytes()[..8]);
                u64::from_be_bytes(bytes) % delay.saturating_add(1).max(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(jitter: Jitter) -> RetryPolicy {
        RetryPolicy {
            maximum_attempts: 5,
            initial_interval_ms: 1_000,
            backoff_coefficient_milli: 2_000,
            maximum_interval_ms: 60_000,
            jitter,
        }
    }

    #[test]
    fn the_delay_doubles_up_to_its_maximum() {
        let delays: Vec<u64> = [1, 2, 3, 7, 8, u16::MAX].map(|n| policy(Jitter::None).delay_ms(n, b"")).to_vec();
        assert_eq!(delays, [1_000, 2_000, 4_000, 60_000, 60_000, 60_000]);
    }

    #[test]
    fn a_coefficient_of_one_keeps_the_delay_and_three_halves_grow_it() {
        let steady = RetryPolicy { backoff_coefficient_milli: 1_000, ..policy(Jitter::None) };
        assert_eq!([1, 2, u16::MAX].map(|n| steady.delay_ms(n, b"")), [1_000; 3]);
        let slow = RetryPolicy { backoff_coefficient_milli: 1_500, ..policy(Jitter::None) };
        assert_eq!([2, 3, 4].map(|n| slow.delay_ms(n, b"")), [1_500, 2_250, 3_375]);
        let capped = RetryPolicy { maximum_interval_ms: 500, ..policy(Jitter::None) };
        assert_eq!(capped.delay_ms(1, b""), 500);
    }

    #[test]
    fn full_jitter_reaches_both_ends() {
        let short = RetryPolicy { initial_interval_ms: 1, ..policy(Jitter::Full) };
        let delays: std::collections::BTreeSet<u64> = (0..100_u8).map(|n| short.delay_ms(1, &[n])).collect();
        assert_eq!(delays.into_iter().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(RetryPolicy { initial_interval_ms: 0, ..short }.delay_ms(1, b""), 0);
    }

    #[test]
    fn full_jitter_stays_within_the_delay_and_repeats_itself() {
        for n in 0..100_u8 {
            let delay = policy(Jitter::Full).delay_ms(2, &[n]);
            assert!(delay <= 2_000);
            assert_eq!(delay, policy(Jitter::Full).delay_ms(2, &[n]));
        }
    }
}
