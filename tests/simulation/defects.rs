//! Seeded defects (`src/defects.rs`): each one must be caught, by schedules or by crash points. A defect that nobody notices means that an
//! oracle is blind.

use std::process::ExitCode;
use std::time::Duration;

use sagabus::defects::{ALL, choose};

use super::choices::Choices;
use super::crash::Enumeration;
use super::definitions;
use super::schedule::{self, Ended};
use super::search::{Found, Limits, search};
use super::story::Story;

/// Schedules, then crash points, within which a defect must be caught.
const SCHEDULES: u64 = 10_000;

/// Chooses each defect in turn, or one of them, and prints after how many cases it was caught.
pub(crate) fn search_each(limits: Limits, only: Option<&str>) -> ExitCode {
    let shapes = definitions::shapes();
    let limits = Limits { cases: SCHEDULES, at_most: Duration::from_secs(600), ..limits };
    let (mut counts, mut survivors) = (Vec::new(), 0);
    println!("{:>9}  {:44} caught by", "schedules", "defect");
    for (place, (name, _)) in ALL.iter().enumerate().filter(|(_, (name, _))| only.is_none_or(|only| only == *name)) {
        choose(Some(place));
        let by_seed = search(limits, |number| schedule::run(Choices::from_seed(number + 1), &shapes, Story::default()));
        let (kind, found) = if by_seed.failed.is_some() { ("", by_seed) } else { (" crash points", struck(limits)) };
        choose(None);
        if let Some((number, ended)) = found.failed {
            counts.push(number + 1);
            println!("{:>9}  {name:44} {}{kind}", number + 1, ended.violations.first().map_or("", String::as_str));
        } else {
            survivors += 1;
            println!("{:>9}  {name:44} NOBODY", "-");
        }
    }
    counts.sort_unstable();
    let median = counts.get(counts.len() / 2).copied().unwrap_or_default();
    println!("{} caught, {survivors} not; the median after {median} schedules", counts.len());
    println!("{} passed, {} failed", u8::from(survivors == 0), u8::from(survivors > 0));
    ExitCode::from(u8::from(survivors > 0))
}

fn struck(limits: Limits) -> Found {
    let enumeration = Enumeration::new();
    if let Some(broken) = enumeration.broken().pop() {
        let ended = Ended { violations: vec![broken], ..Ended::default() };
        return Found { failed: Some((0, ended)), ..Found::default() };
    }
    search(limits, |number| enumeration.run(number, Story::default()))
}
