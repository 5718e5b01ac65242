//! CPU seconds by process group, and memory, from /proc: CPU is the figure that survives a noisy machine.

use std::fs;

/// CPU seconds spent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    process: u32,
    pub(super) engine: f64,
    pub(super) own: f64,
    pub(super) postgres: f64,
    pub(super) broker: f64,
}

impl Spent {
    /// What was spent so far by the engine `engine`, this process, and every Postgres and Java process of this machine.
    pub(super) fn now(engine: u32) -> Self {
        let mut spent = Self {
            process: engine,
            engine: seconds(engine, false),
            own: seconds(std::process::id(), false),
            ..Self::default()
        };
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            match fs::read_to_string(entry.path().join("comm")).unwrap_or_default().trim() {
                "postgres" => spent.postgres += seconds(id, true),
                "java" => spent.broker += seconds(id, false),
                _ => {}
            }
        }
        spent
    }

    /// What was spent between two moments; of an engine that was killed meanwhile, what its successor spent.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            engine: if self.process == before.process { self.engine - before.engine } else { self.engine },
            process: self.process,
            own: self.own - before.own,
            postgres: self.postgres - before.postgres,
            broker: self.broker - before.broker,
        }
    }
}

/// User and system time of a process; with its ended children's where those would be lost (Postgres's own helpers).
fn seconds(id: u32, with_children: bool) -> f64 {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name may hold spaces: fields are counted from its closing bracket.
    let fields: Vec<f64> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    let sum = |from: usize, to: usize| fields.get(from..to).map_or(0.0, |ticks| ticks.iter().sum::<f64>());
    // proc(5): utime and stime are fields 14 and 15, cutime and cstime 16 and 17; a tick is 10 ms.
    (sum(11, 13) + if with_children { sum(13, 15) } else { 0.0 }) / 100.0
}

/// Resident memory of a process, in bytes; 0 when it is gone.
pub(super) fn resident_bytes(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).map_or(0, |kib: u64| kib * 1_024)
}
