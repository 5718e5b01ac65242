//! What people read: text from data, without a terminal, a clock or a database. `output` prints it.

mod bench;
mod checks;
mod facts;
mod letters;
mod lists;
mod live;
mod locks;
mod parked;
mod plans;
mod replay;
mod retention;
mod saga;

pub use bench::suite;
pub use checks::balanced;
pub use checks::kit;
pub use checks::verified;
pub use facts::dry_run;
pub use facts::history;
pub use facts::row;
pub use letters::letter_shown;
pub use letters::letters;
pub use letters::mailbag;
pub use lists::counts;
pub use lists::failures;
pub use lists::hold_scope;
pub use lists::holds;
pub use lists::sagas;
pub use lists::troubles;
pub use lists::waiting;
pub use live::lag;
pub use live::top_body;
pub use live::top_head;
pub use live::watched_body;
pub use live::watched_head;
pub use locks::locks;
pub use parked::parked;
pub use parked::parked_shown;
pub use parked::redriven;
pub use parked::sweep;
pub use parked::swept;
pub use plans::jobs;
pub use plans::plan_shown;
pub use plans::planned;
pub use plans::plans;
pub use plans::progress;
pub use replay::backfilled;
pub use replay::frame;
pub use replay::replayed;
pub use replay::saga;
pub use retention::periods;
pub use retention::retained;
pub use saga::difference;
pub use saga::explanation;
pub use saga::found;
pub use saga::timeline;

use comfy_table::Table;

/// A table without lines.
pub(super) fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head.to_vec());
    table
}

/// The text, or a dash where there is none.
pub(super) fn or_dash(text: Option<&str>) -> &str {
    text.unwrap_or("-")
}

/// The table as lines without blanks at their ends.
pub(super) fn lines(table: &Table) -> String {
    format!("{}\n", table.trim_fmt())
}

/// A text in which foreign words may stand, without what a terminal would act on.
pub(super) fn printable(text: &str) -> String {
    let shown = |character: char| match character {
        '\'' | '"' => character.to_string(),
        other => other.escape_debug().to_string(),
    };
    text.chars().map(shown).collect()
}
