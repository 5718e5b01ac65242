//! A schedule as a sequence diagram in text, for the one that failed.

use std::fmt::Write as _;

/// What happened, when it is read; nothing otherwise.
#[derive(Debug, Default)]
pub(crate) struct Story {
    lines: Option<Vec<Line>>,
}

#[derive(Debug)]
struct Line {
    at_micros: i64,
    from: String,
    to: String,
    what: String,
}

/// Lines that are shown at most, the last ones.
const LINES: usize = 3_000;

impl Story {
    /// A story that is read.
    pub(crate) fn told() -> Self {
        Self { lines: Some(Vec::new()) }
    }

    pub(crate) fn tell(&mut self, at_micros: i64, from: &str, to: &str, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at_micros, from: from.to_owned(), to: to.to_owned(), what: what() });
        }
    }

    /// The diagram: a column for each one who takes part, an arrow for each message.
    pub(crate) fn draw(&self) -> String {
        let Some(lines) = &self.lines else { return String::new() };
        let lines = &lines[lines.len().saturating_sub(LINES)..];
        let mut names: Vec<&str> = Vec::new();
        for line in lines {
            for name in [line.from.as_str(), line.to.as_str()] {
                if name != "all" && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names.sort_unstable();
        let column = |name: &str| names.iter().position(|other| *other == name).map_or(0, |place| place * 12 + 4);
        let mut text = String::new();
        let heads: String = names.iter().map(|name| format!("{name:^12.11}")).collect();
        _ = writeln!(text, "{:>11}  {heads}", "time");
        for line in lines {
            let mut row: Vec<char> = names.iter().flat_map(|_| "    |       ".chars()).collect();
            let (from, to) = (column(&line.from), if line.to == "all" { column(&line.from) } else { column(&line.to) });
            let (left, right) = (from.min(to), from.max(to));
            row[left..right].fill('-');
            row[from] = 'o';
            if from != to {
                row[to] = if to > from { '>' } else { '<' };
            }
            let row: String = row.into_iter().collect();
            _ = writeln!(text, "{:>9.3} s  {row} {}", line.at_micros as f64 / 1e6, line.what);
        }
        text
    }
}
