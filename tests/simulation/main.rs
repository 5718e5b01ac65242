//! The simulator: the real engine over a simulated Kafka, Postgres, clock and network, in one thread from one seed (RELIABILITY.md
//! section 4.2). `make sim SECONDS=600`, or see `--help`.

#![expect(clippy::print_stdout, reason = "a program that reports")]
#![expect(clippy::wildcard_enum_match_arm, reason = "oracles look at the facts that they know")]

mod audit;
mod broker;
mod bus;
mod choices;
mod crash;
mod database;
#[cfg(feature = "seeded-defects")]
mod defects;
mod definitions;
mod excuses;
mod group;
mod history;
mod knobs;
mod participants;
mod people;
mod race;
mod reference;
mod schedule;
mod script;
mod search;
mod shrink;
mod sometimes;
mod story;
mod watch;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use choices::Choices;
use crash::Enumeration;
use definitions::Shape;
use schedule::Ended;
use search::{Found, Kinds, Limits, attempt, search};
use story::Story;

/// What a schedule makes it drops soon, on the same thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Schedules from which on every expected situation must have been met.
const ENOUGH: u64 = 20_000;

/// Runs schedules of the simulated world until one breaks a promise, or the time or number is over.
#[derive(Parser)]
struct Arguments {
    /// Schedules, or crash points, at most.
    #[arg(long, default_value_t = u64::MAX)]
    schedules: u64,
    /// Seconds at most.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first seed; the n-th schedule has the n-th seed from it.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Runs this seed alone and tells its story.
    #[arg(long)]
    seed: Option<u64>,
    /// Kills and drops the engine at every poll of fixed workloads instead, then at pairs of polls.
    #[arg(long)]
    crash_points: bool,
    /// Runs this crash point alone and tells its story.
    #[arg(long)]
    crash_point: Option<u64>,
    /// Lets two operators and a late answer meet at one saga instead.
    #[arg(long)]
    races: bool,
    /// Runs this race alone and tells its story.
    #[arg(long)]
    race: Option<u64>,
    /// Prints this many histories for `tests/it/recorded.jsonl`.
    #[arg(long)]
    record: Option<usize>,
    /// Shows that each seeded defect is caught (built with the feature `seeded-defects`).
    #[cfg(feature = "seeded-defects")]
    #[arg(long)]
    defects: bool,
    /// Shows that this seeded defect alone is caught, and how.
    #[cfg(feature = "seeded-defects")]
    #[arg(long)]
    defect: Option<String>,
    /// Each situation must be met at least this often in a million schedules, and once in all.
    #[arg(long, default_value_t = 100)]
    floor: u64,
    /// Goes on after a failure, and lists the kinds of failures.
    #[arg(long)]
    keep_going: bool,
    /// Does not look for a smaller schedule that fails too.
    #[arg(long)]
    no_shrink: bool,
    /// Threads; default: one a core.
    #[arg(long)]
    threads: Option<usize>,
}

impl Arguments {
    fn limits(&self) -> Limits {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or_else(cores);
        Limits { cases: self.schedules, at_most: Duration::from_secs(self.seconds), threads }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    std::panic::set_hook(Box::new(|_| ()));
    #[cfg(feature = "seeded-defects")]
    if arguments.defects || arguments.defect.is_some() {
        return defects::search_each(arguments.limits(), arguments.defect.as_deref());
    }
    if let Some(count) = arguments.record {
        history::record(count).iter().for_each(|line| println!("{line}"));
        return ExitCode::SUCCESS;
    }
    if let Some(seed) = arguments.seed {
        let shapes = definitions::shapes();
        return tell(&format!("seed {seed}"), || schedule::run(Choices::from_seed(seed), &shapes, Story::told()));
    }
    if let Some(number) = arguments.crash_point {
        return tell(&format!("crash point {number}"), || Enumeration::new().run(number, Story::told()));
    }
    if let Some(number) = arguments.race {
        return tell(&format!("race {number}"), || race::run(number, Story::told()));
    }
    match (arguments.crash_points, arguments.races) {
        (true, _) => strike(&arguments),
        (_, true) => let_race(&arguments),
        (false, false) => simulate(&arguments),
    }
}

fn tell(what: &str, run: impl FnOnce() -> Ended) -> ExitCode {
    let ended = attempt(run);
    println!("{}", ended.story);
    ended.violations.iter().for_each(|violation| println!("VIOLATED {violation}"));
    println!("{what}: {} choices, {} polls, {} violations", ended.tape.len(), ended.polls, ended.violations.len());
    ExitCode::from(u8::from(!ended.violations.is_empty()))
}

fn simulate(arguments: &Arguments) -> ExitCode {
    let (shapes, limits) = (definitions::shapes(), arguments.limits());
    let kinds = Kinds::default();
    let found = search(limits, |number| {
        let ended = attempt(|| schedule::run(Choices::from_seed(arguments.from + number), &shapes, Story::default()));
        if arguments.keep_going { kinds.take(arguments.from + number, ended) } else { ended }
    });
    println!("{}", found.pace("schedules", limits.threads));
    kinds.lines().iter().for_each(|line| println!("VIOLATED {line}"));
    if let Some((number, ended)) = found.failed {
        let seed = arguments.from + number;
        report(arguments, ended, &shapes);
        println!("again: make sim ARGS=\"--seed {seed}\"\n0 passed, 1 failed");
        return ExitCode::FAILURE;
    }
    let missing = too_seldom(&found, arguments.floor) + kinds.lines().len();
    println!("{} passed, {} failed", u8::from(missing == 0), u8::from(missing > 0));
    ExitCode::from(u8::from(missing > 0))
}

/// Prints how often each situation was met. Returns how many were met too seldom.
fn too_seldom(found: &Found, in_a_million: u64) -> usize {
    let floor = if found.done < ENOUGH { 0 } else { (found.done * in_a_million / 1_000_000).max(1) };
    let table = found.sometimes.table();
    for (what, count) in &table {
        println!("{count:>10}  {what}{}", if *count < floor { "   TOO SELDOM" } else { "" });
    }
    if found.done < ENOUGH {
        println!("fewer than {ENOUGH} schedules: too few to expect every situation");
    }
    table.iter().filter(|(_, count)| *count < floor).count()
}

fn strike(arguments: &Arguments) -> ExitCode {
    let (enumeration, limits) = (Enumeration::new(), arguments.limits());
    let broken = enumeration.broken();
    if !broken.is_empty() {
        broken.iter().for_each(|broken| println!("VIOLATED in peace: {broken}"));
        return ExitCode::FAILURE;
    }
    let kinds = Kinds::default();
    let found = search(limits, |number| {
        let ended = enumeration.run(number, Story::default());
        if arguments.keep_going { kinds.take(number, ended) } else { ended }
    });
    println!("{}", found.pace("crash points", limits.threads));
    kinds.lines().iter().for_each(|line| println!("VIOLATED {line}"));
    println!("{} of them with one blow, the rest with two", found.done.min(enumeration.singles()));
    let Some((number, ended)) = found.failed else {
        let is_well = kinds.lines().is_empty();
        println!("{} passed, {} failed", u8::from(is_well), u8::from(!is_well));
        return ExitCode::from(u8::from(!is_well));
    };
    ended.violations.iter().for_each(|violation| println!("VIOLATED {violation}"));
    println!("again: make sim ARGS=\"--crash-point {number}\"\n0 passed, 1 failed");
    ExitCode::FAILURE
}

fn let_race(arguments: &Arguments) -> ExitCode {
    let limits = arguments.limits();
    let found = search(limits, |number| attempt(|| race::run(number, Story::default())));
    println!("{}", found.pace("races", limits.threads));
    let counts = sometimes::RACES.map(|what| (what, found.sometimes.count(what)));
    counts.iter().for_each(|(what, count)| println!("{count:>10}  {what}"));
    let Some((number, ended)) = found.failed else {
        let is_well = counts.iter().all(|(_, count)| *count > 0);
        println!("{} passed, {} failed", u8::from(is_well), u8::from(!is_well));
        return ExitCode::from(u8::from(!is_well));
    };
    ended.violations.iter().for_each(|violation| println!("VIOLATED {violation}"));
    println!("again: make sim ARGS=\"--race {number}\"\n0 passed, 1 failed");
    ExitCode::FAILURE
}

fn report(arguments: &Arguments, ended: Ended, shapes: &[Shape]) {
    ended.violations.iter().for_each(|violation| println!("VIOLATED {violation}"));
    if arguments.no_shrink || ended.tape.is_empty() {
        return;
    }
    println!("shrinking a tape of {} choices", ended.tape.len());
    let again = |tape: &[u32], story| attempt(|| schedule::run(Choices::from_tape(tape.to_vec()), shapes, story));
    let fails = |tape: &[u32]| !again(tape, Story::default()).violations.is_empty();
    let small = shrink::shrink(ended.tape, Duration::from_secs(40), fails);
    let ended = again(&small, Story::told());
    println!("{}", ended.story);
    ended.violations.iter().for_each(|violation| println!("VIOLATED {violation}"));
    println!(
        "shrunk to {} choices, {} of them not 0",
        small.len(),
        small.iter().filter(|choice| **choice != 0).count()
    );
}
