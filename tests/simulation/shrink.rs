//! Makes the tape of a failing schedule short and its numbers small, as long as it fails.

use std::time::{Duration, Instant};

/// The smallest tape found within `at_most` that still fails.
#[expect(clippy::disallowed_methods, reason = "a limit of real time, outside the simulated world")]
pub(crate) fn shrink(mut tape: Vec<u32>, at_most: Duration, fails: impl Fn(&[u32]) -> bool) -> Vec<u32> {
    let until = Instant::now() + at_most;
    let mut has_shrunk = true;
    while has_shrunk && Instant::now() < until {
        has_shrunk = false;
        let mut keep = |candidate: Vec<u32>, tape: &mut Vec<u32>| {
            let is_smaller = candidate != *tape && Instant::now() < until && fails(&candidate);
            if is_smaller {
                *tape = candidate;
                has_shrunk = true;
            }
            is_smaller
        };
        // A shorter end.
        let mut cut = tape.len() / 2;
        while cut > 0 {
            let shorter = tape[..tape.len() - cut.min(tape.len())].to_vec();
            if !keep(shorter, &mut tape) {
                cut /= 2;
            }
        }
        // Stretches of the simplest choice, long ones first.
        let mut length = tape.len().max(1);
        while length > 0 {
            let mut from = 0;
            while from < tape.len() {
                let to = (from + length).min(tape.len());
                if tape[from..to].iter().any(|choice| *choice != 0) {
                    let mut simpler = tape.clone();
                    simpler[from..to].fill(0);
                    keep(simpler, &mut tape);
                }
                from = to;
            }
            length /= 2;
        }
        // Smaller numbers.
        for place in 0..tape.len() {
            while tape[place] > 0 {
                let mut smaller = tape.clone();
                smaller[place] /= 2;
                if !keep(smaller, &mut tape) {
                    break;
                }
            }
        }
    }
    tape
}
