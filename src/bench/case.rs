//! The cases: what sagas look like, and what becomes of them.

use crate::core::Json;
use crate::wire::{self, Outgoing};

/// What a trigger carries whose fourth step is to be refused.
pub(super) const FAILS: &str = "\"fails\":true";
/// What a trigger carries whose second step takes its time.
pub(super) const SLOW: &str = "\"slow\":true";
/// What a trigger carries whose saga nobody answers.
pub(super) const IDLE: &str = "\"idle\":true";
/// Bytes that fill a trigger up to half a kilobyte.
const NOTE: usize = 400;

/// How steps depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Five steps, one after the other.
    Chain,
    /// One, three beside each other, one that joins them.
    Fork,
}

/// What is asked of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// How steps depend on each other.
    pub shape: Shape,
    /// Percent of sagas whose fourth step is refused, so that three are undone.
    pub fails: u8,
    /// Percent of sagas whose second step takes half a second.
    pub slow: u8,
    /// Percent of records beside the triggers that are put aside.
    pub parked: u8,
    /// All triggers have one key, and so lie in one partition.
    pub has_one_key: bool,
}

const SUCCESS: Case = Case { name: "success", shape: Shape::Chain, fails: 0, slow: 0, parked: 0, has_one_key: false };

impl Case {
    /// All cases.
    pub const ALL: [Self; 6] = [
        SUCCESS,
        Self { name: "failures", fails: 5, ..SUCCESS },
        Self { name: "fork", shape: Shape::Fork, ..SUCCESS },
        Self { name: "slow", slow: 10, ..SUCCESS },
        Self { name: "hot-key", has_one_key: true, ..SUCCESS },
        Self { name: "parked", parked: 10, ..SUCCESS },
    ];

    /// The case of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name == name)
    }

    /// The definition file of sagas of this name.
    pub fn definition(self, name: &str) -> String {
        let after = |n: u8| match (self.shape, n) {
            (_, 1) => String::new(),
            (Shape::Chain, n) => format!("after: [s{}], ", n - 1),
            (Shape::Fork, 2..=4) => "after: [s1], ".to_owned(),
            (Shape::Fork, _) => "after: [s2, s3, s4], ".to_owned(),
        };
        let step = |n: u8| {
            format!(
                "  s{n}: {{{}command: {{type: do, data: \"${{trigger.data}}\"}}, compensate: {{type: undo}}}}\n",
                after(n)
            )
        };
        let steps: String = (1..=5).map(step).collect();
        let participants: String = (1..=5).map(|n| format!("  s{n}: {{commandTopic: {name}.s{n}}}\n")).collect();
        format!(
            "saga: v1\nname: {name}\nversion: 1\ntrigger: {{topic: {name}.triggers, type: go}}\nbusinessKey: ${{trigger.data.id}}\n\
             participants:\n{participants}defaults: {{timeout: 1h, patience: 24h}}\nsteps:\n{steps}"
        )
    }

    /// The records that begin saga `number`: its trigger, and perhaps one that is put aside. Nobody answers a saga that is idle.
    pub fn records(self, name: &str, number: u64, is_idle: bool) -> (String, Vec<Outgoing>) {
        let key = format!("{name}-{number}");
        let note = "n".repeat(NOTE);
        let mut marks = if is_idle { format!(",{IDLE}") } else { String::new() };
        for (mark, percent) in [(FAILS, self.fails), (SLOW, self.slow)] {
            if is_drawn(number, percent) {
                marks = format!("{marks},{mark}");
            }
        }
        let record = |data: String| {
            let data = Json::parse(data.as_bytes()).expect("it is JSON");
            let partition_key = if self.has_one_key { name } else { &key };
            wire::new_trigger(&format!("{name}.triggers"), partition_key, "go", &key, "/sagabus/bench", data)
        };
        let mut records = vec![record(format!(r#"{{"id":"{key}","amount":100,"note":"{note}"{marks}}}"#))];
        if is_drawn(number, self.parked) {
            // Without a business key it can start nothing.
            records.push(record(format!(r#"{{"amount":100,"note":"{note}"}}"#)));
        }
        (key, records)
    }
}

/// True for so many of each hundred numbers: a fixed stride spreads them evenly.
fn is_drawn(number: u64, percent: u8) -> bool {
    number.wrapping_mul(37) % 100 < u64::from(percent)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::definition::{Compiled, Source};

    use super::*;

    #[test]
    fn the_definition_of_every_case_can_be_read() {
        for case in Case::ALL {
            let yaml = case.definition("bench-1");
            let source = Source { file: "bench.saga.yaml".to_owned(), yaml, schemas: BTreeMap::new() };
            let plan = Compiled::load(&source).unwrap();
            assert_eq!(plan.definition().steps.len(), 5, "{}", case.name);
            assert_eq!(Case::named(case.name), Some(case));
        }
    }

    #[test]
    fn triggers_are_of_half_a_kilobyte_and_marked_as_often_as_the_case_says() {
        let failures = Case::named("failures").unwrap();
        let marked = |number: &u64| failures.records("b", *number, false).1[0].value.get().contains(FAILS);
        assert_eq!((0..1_000).filter(marked).count(), 50);
        let size = failures.records("bench-1700000000", 12_345, false).1[0].value.get().len();
        assert!((440..560).contains(&size), "{size}");
        let parked = Case::named("parked").unwrap();
        assert_eq!((0..1_000).map(|number| parked.records("b", number, false).1.len()).sum::<usize>(), 1_100);
    }
}
