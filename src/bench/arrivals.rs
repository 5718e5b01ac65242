//! When sagas are to begin, known before a run: an open loop asks no more gently of a system that is slow.

use std::time::Duration;

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// At even distances.
    Constant,
    /// By chance, each without memory of the last one, as many users together are.
    Poisson,
}

/// The moments, from the beginning of the run, at which sagas begin: `rate` a second for `length`.
pub(super) fn arrivals(rate: f64, length: Duration, spread: Spread, seed: u64) -> Vec<Duration> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let (mut at, end) = (0.0, length.as_secs_f64());
    let mut moments = Vec::new();
    while at < end {
        moments.push(Duration::from_secs_f64(at));
        at += match spread {
            Spread::Constant => 1.0 / rate,
            // The inverse of the exponential distribution; 1 - f64 is never 0.
            Spread::Poisson => -(1.0 - chance.f64()).ln() / rate,
        };
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_are_evenly_spread() {
        let moments = arrivals(4.0, Duration::from_secs(1), Spread::Constant, 0);
        assert_eq!(moments, [0, 250, 500, 750].map(Duration::from_millis));
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_vary_as_they_must_and_follow_their_seed() {
        let draw = |seed| arrivals(1_000.0, Duration::from_secs(20), Spread::Poisson, seed);
        let moments = draw(7);
        assert_eq!(moments, draw(7));
        assert_ne!(moments, draw(8));
        // 20,000 are expected, with a standard deviation of 141.
        assert!((19_300..20_700).contains(&moments.len()), "{}", moments.len());
        // The share of distances over the mean is 1/e.
        let long = moments.windows(2).filter(|two| two[1] - two[0] > Duration::from_millis(1)).count();
        let share = 100 * long / moments.len();
        assert!((35..39).contains(&share), "{share} %");
    }
}
