//! Retry of a step as a pure function: how long until attempt n, or until the same command is sent again. Retry of I/O is
//! `engine/reconnect.rs`; the two never mix.

use super::hash::Sha256;

/// When a definite, retryable failure is tried again, and how the pace slows at which an unanswered command is sent again. Names
/// follow Temporal's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one counted.
    pub maximum_attempts: u16,
    /// Delay before the second attempt, in milliseconds.
    pub initial_interval_ms: u64,
    /// Growth of the delay from attempt to attempt, in thousandths (2000 doubles it): whole numbers, so that every machine
    /// computes the same moment.
    pub backoff_coefficient_milli: u64,
    /// The delay never exceeds this, in milliseconds. Also the slowest pace at which an unanswered command is sent again.
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
        let delay = self.grown(self.initial_interval_ms, self.maximum_interval_ms, failures.saturating_sub(1));
        self.jitter.spread(delay, seed)
    }

    /// Milliseconds until an unanswered command that was sent again `resends` times is sent again: `timeout * coefficient^resends`,
    /// up to the maximum. Jitter takes off up to half of that, but it is never less than the timeout; `seed` names the sending.
    pub fn resend_ms(&self, timeout_ms: u64, resends: u16, seed: &[u8]) -> u64 {
        let wait = self.grown(timeout_ms, self.maximum_interval_ms.max(timeout_ms), resends);
        let least = timeout_ms.max(wait / 2);
        least + self.jitter.spread(wait - least, seed)
    }

    fn grown(&self, first: u64, maximum: u64, times: u16) -> u64 {
        let (mut delay, maximum) = (u128::from(first), u128::from(maximum));
        for _ in 0..times {
            if delay >= maximum || self.backoff_coefficient_milli <= 1_000 {
                break;
            }
            delay = delay * u128::from(self.backoff_coefficient_milli) / 1_000;
        }
        u64::try_from(delay.min(maximum)).unwrap_or(u64::MAX)
    }
}

impl Jitter {
    fn spread(self, delay: u64, seed: &[u8]) -> u64 {
        match self {
            Self::None => delay,
            Self::Full => {
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

    #[test]
    fn an_unanswered_command_is_sent_again_ever_more_slowly() {
        let waits: Vec<u64> = [0, 1, 2, 5, u16::MAX].map(|n| policy(Jitter::None).resend_ms(3_000, n, b"")).to_vec();
        assert_eq!(waits, [3_000, 6_000, 12_000, 60_000, 60_000]);
        // A timeout above the maximum is the pace.
        assert_eq!([0, 9].map(|n| policy(Jitter::Full).resend_ms(90_000, n, b"")), [90_000; 2]);
    }

    #[test]
    fn jitter_sends_again_sooner_but_never_before_the_timeout() {
        let first: Vec<u64> = (0..100_u8).map(|n| policy(Jitter::Full).resend_ms(3_000, 0, &[n])).collect();
        assert_eq!(first, [3_000; 100]);
        for (resends, least, most) in [(1, 3_000, 6_000), (2, 6_000, 12_000), (9, 30_000, 60_000)] {
            let waits: std::collections::BTreeSet<u64> =
                (0..100_u8).map(|n| policy(Jitter::Full).resend_ms(3_000, resends, &[n])).collect();
            assert!(waits.iter().all(|wait| (least..=most).contains(wait)), "{waits:?}");
            assert!(waits.len() > 90, "they are spread: {waits:?}");
        }
    }
}
