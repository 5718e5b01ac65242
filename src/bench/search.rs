//! The highest rate that a system holds: grown until it does not, then the gap between is halved.

/// The next rate, from the one before, while only one side of the gap is known.
const GROWTH: f64 = 1.5;
/// Sagas a second: slower than that is not looked at.
const LEAST: f64 = 1.0;

/// Where a search stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Search {
    first: f64,
    precision: f64,
    held: Option<f64>,
    failed: Option<f64>,
}

impl Search {
    /// Begins at `first`; ends when the gap between what holds and what does not is smaller than the share `precision`.
    pub(super) fn new(first: f64, precision: f64) -> Self {
        Self { first, precision, held: None, failed: None }
    }

    /// The rate to try; `None`: the search has ended.
    pub(super) fn next(&self) -> Option<f64> {
        match (self.held, self.failed) {
            (None, None) => Some(self.first),
            (Some(held), None) => Some(held * GROWTH),
            (None, Some(failed)) => Some(failed / GROWTH).filter(|rate| *rate >= LEAST),
            (Some(held), Some(failed)) if failed / held - 1.0 <= self.precision => None,
            (Some(held), Some(failed)) => Some((held * failed).sqrt()),
        }
    }

    /// What came of a rate.
    pub(super) fn tried(&mut self, rate: f64, holds: bool) {
        if holds { self.held = Some(rate) } else { self.failed = Some(rate) }
    }

    /// The highest rate that held.
    pub(super) fn found(&self) -> Option<f64> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searched(first: f64, capacity: f64) -> (Option<f64>, usize) {
        let (mut search, mut tries) = (Search::new(first, 0.05), 0);
        while let Some(rate) = search.next() {
            search.tried(rate, rate <= capacity);
            tries += 1;
        }
        (search.found(), tries)
    }

    #[test]
    fn the_capacity_is_found_to_five_percent_from_above_and_from_below() {
        for (first, capacity) in [(1_000.0, 5_431.0), (1_000.0, 120.0), (1_000.0, 1_000.0), (10.0, 9.9)] {
            let (found, tries) = searched(first, capacity);
            let found = found.unwrap();
            assert!(found <= capacity && found > capacity * 0.95, "{found} of {capacity}");
            assert!(tries < 14, "{tries} tries from {first} to {capacity}");
        }
    }

    #[test]
    fn what_holds_nothing_is_told_so() {
        assert_eq!(searched(100.0, 0.0).0, None);
    }
}
