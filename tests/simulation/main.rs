//! The simulator: the real engine over a simulated Kafka, Postgres, clock and network, in one thread from one seed (RELIABILITY.md
//! section 4.2). `make sim SECONDS=600`, or see `--help`.

#![expect(clippy::print_stdout, reason = "a program that reports")]
#![expect(clippy::wildcard_enum_match_arm, reason = "oracles look at the facts that they know")]

mod audit;
mod broker;
mod choices;
mod database;
mod definitions;
mod knobs;
mod participants;
mod people;
mod schedule;
mod shrink;
mod sometimes;
mod story;
mod watch;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;

use choices::Choices;
use definitions::Shape;
use schedule::Ended;
use sometimes::Sometimes;
use story::Story;

/// Runs schedules of the simulated world until one breaks a promise, or the time or number is over.
#[derive(Parser)]
struct Arguments {
    /// Schedules at most.
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
    /// Each situation must be met at least this often.
    #[arg(long, default_value_t = 0)]
    floor: u64,
    /// Does not look for a smaller schedule that fails too.
    #[arg(long)]
    no_shrink: bool,
    /// Threads; default: one a core.
    #[arg(long)]
    threads: Option<usize>,
}

/// Shared by all threads.
struct Progress {
    next: AtomicU64,
    done: AtomicU64,
    is_over: AtomicBool,
    sometimes: Mutex<Sometimes>,
    failed: Mutex<Option<(u64, Vec<u32>, Vec<String>)>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    std::panic::set_hook(Box::new(|_| ()));
    match arguments.seed {
        Some(seed) => tell(seed),
        None => search(&arguments),
    }
}

fn attempt(choices: Choices, shapes: &[Shape], story: Story) -> Ended {
    let ended = catch_unwind(AssertUnwindSafe(|| schedule::run(choices, shapes, story)));
    ended.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        let violations = vec![format!("panic: {what}")];
        Ended { violations, tape: Vec::new(), sometimes: Sometimes::default(), story: String::new(), polls: 0 }
    })
}

fn tell(seed: u64) -> ExitCode {
    let shapes = definitions::shapes();
    let ended = attempt(Choices::from_seed(seed), &shapes, Story::told());
    println!("{}", ended.story);
    ended.violations.iter().for_each(|violation| println!("VIOLATED {violation}"));
    println!("seed {seed}: {} choices, {} polls, {} violations", ended.tape.len(), ended.polls, ended.violations.len());
    ExitCode::from(u8::from(!ended.violations.is_empty()))
}

fn search(arguments: &Arguments) -> ExitCode {
    let progress = Progress {
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        sometimes: Mutex::default(),
        failed: Mutex::default(),
    };
    let begun = Instant::now();
    let until = begun + Duration::from_secs(arguments.seconds);
    let threads = arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(arguments, &progress, until));
        }
    });
    let done = progress.done.load(Ordering::Relaxed);
    let seconds = begun.elapsed().as_secs_f64();
    let sometimes = progress.sometimes.lock().expect("no thread panicked").table();
    let mut missing = 0;
    for (what, count) in sometimes {
        let is_missing = count < arguments.floor;
        missing += usize::from(is_missing);
        println!("{count:>10}  {what}{}", if is_missing { "   TOO SELDOM" } else { "" });
    }
    println!("{done} schedules in {seconds:.0} s: {:.0} a second on {threads} threads", done as f64 / seconds);
    let failed = progress.failed.lock().expect("no thread panicked").take();
    if let Some((seed, tape, violations)) = failed {
        report(arguments, seed, tape, &violations);
        println!("0 passed, 1 failed");
        return ExitCode::FAILURE;
    }
    println!("{} passed, {} failed", u8::from(missing == 0), u8::from(missing > 0));
    ExitCode::from(u8::from(missing > 0))
}

fn work(arguments: &Arguments, progress: &Progress, until: Instant) {
    let shapes = definitions::shapes();
    let mut sometimes = Sometimes::default();
    while !progress.is_over.load(Ordering::Relaxed) && Instant::now() < until {
        let number = progress.next.fetch_add(1, Ordering::Relaxed);
        if number >= arguments.schedules {
            break;
        }
        let seed = arguments.from + number;
        let ended = attempt(Choices::from_seed(seed), &shapes, Story::default());
        sometimes.add(&ended.sometimes);
        progress.done.fetch_add(1, Ordering::Relaxed);
        if !ended.violations.is_empty() {
            progress.is_over.store(true, Ordering::Relaxed);
            let mut failed = progress.failed.lock().expect("no thread panicked");
            failed.get_or_insert((seed, ended.tape, ended.violations));
        }
    }
    progress.sometimes.lock().expect("no thread panicked").add(&sometimes);
}

fn report(arguments: &Arguments, seed: u64, tape: Vec<u32>, violations: &[String]) {
    let shapes = definitions::shapes();
    violations.iter().for_each(|violation| println!("VIOLATED {violation}"));
    if !arguments.no_shrink && !tape.is_empty() {
        println!("shrinking a tape of {} choices", tape.len());
        let fails =
            |tape: &[u32]| !attempt(Choices::from_tape(tape.to_vec()), &shapes, Story::default()).violations.is_empty();
        let small = shrink::shrink(tape, Duration::from_secs(40), fails);
        let ended = attempt(Choices::from_tape(small.clone()), &shapes, Story::told());
        println!("{}", ended.story);
        ended.violations.iter().for_each(|violation| println!("VIOLATED {violation}"));
        println!(
            "shrunk to {} choices, {} of them not 0",
            small.len(),
            small.iter().filter(|choice| **choice != 0).count()
        );
    }
    println!("again: make sim ARGS=\"--seed {seed}\"");
}
