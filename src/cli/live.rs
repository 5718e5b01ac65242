//! Verbs that look at what moves: who is behind, who holds up whom, one saga as it goes on, how everything goes. They read on a connection that
//! cannot write.

use std::fs::File;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use tokio::time::Instant;

use crate::core::Phase;
use crate::dev::{Scene, Screen};
use crate::operations::{self, Exit, Explanation, Failure, ListedJson, Lookout, Places, Shown, TopJson};
use crate::store::Console;

use super::arguments::{OneSaga, OutputArguments, OutputFormat, TimeArguments, duration};
use super::reach::{Looking, Reach, Seen};
use super::{output, render};

/// How often a saga is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is looked whether a key was pressed.
const KEYS: Duration = Duration::from_millis(50);

#[derive(Debug, Subcommand)]
pub(super) enum LiveVerb {
    /// Who is behind: engines with triggers and replies, participants with their commands.
    ///
    /// Where engines stand is said by Postgres, where a log begins and ends by Kafka; how far participants are by what their consumer
    /// groups have committed. A group is known by that: one that has committed nothing yet is not found. Behind are offsets, of which
    /// some may hold no record (transaction markers).
    #[command(
        after_help = "Exit codes: 0 done, 2 no Kafka is configured, 6 Kafka or the database does not answer.\n\n\
        Example: sagabus lag --only-behind"
    )]
    Lag(LagArguments),
    /// What holds up what: sessions of the database that wait for each other, and what Sagabus itself holds.
    ///
    /// Sessions that wait for another one, those that they wait for, and those that have been idle within a transaction for more than 5 s.
    /// Statements are shown without comments and values, whoever's they are. Then engines, jobs that a worker has leased, and who removes what
    /// is old or migrates the schema. What other roles' sessions do only members of pg_read_all_stats (or pg_monitor) see. A server
    /// looks with its own role.
    #[command(after_help = "Exit codes: 0 done, 6 the database does not answer.\n\nExample: sagabus locks")]
    Locks(LocksArguments),
    /// Watch one saga until it has ended: on a terminal drawn anew, elsewhere a line for each row of its journal.
    ///
    /// A saga that waits for a person has not ended. On a terminal q ends the watch, and so does Ctrl-C.
    #[command(
        after_help = "Exit codes: 0 completed (or q), 1 it ended otherwise, 3 no such saga, 6 the database does not answer, 124 --wait ran \
        out.\n\nExample: sagabus watch order-42 --wait 5m"
    )]
    Watch(WatchArguments),
    /// How it goes: open sagas by definition and phase, what begins and ends a second, who works, what waits for a person.
    ///
    /// With Kafka configured also how far engines are behind. Drawn anew on a terminal until q or Ctrl-C; elsewhere, and as JSON, once.
    #[command(after_help = "Exit codes: 0 done, 6 the database does not answer.\n\nExample: sagabus top --once")]
    Top(TopArguments),
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct LagArguments {
    /// Leave out what is not behind; what is stopped is always shown.
    #[arg(long)]
    only_behind: bool,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct LocksArguments {
    #[command(flatten)]
    times: TimeArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Clone, Debug, Args)]
pub(super) struct WatchArguments {
    #[command(flatten)]
    one: OneSaga,
    /// At most this long.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    times: TimeArguments,
    /// How to print: jsonl is never drawn.
    #[arg(long, value_enum, default_value_t = WatchFormat::Table)]
    output: WatchFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum WatchFormat {
    /// For people.
    Table,
    /// For programs: a line a row.
    Jsonl,
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct TopArguments {
    /// One look, also on a terminal.
    #[arg(long)]
    once: bool,
    /// How often it is looked.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    every: Duration,
    #[command(flatten)]
    times: TimeArguments,
    #[command(flatten)]
    output: OutputArguments,
}

impl LiveVerb {
    /// Where logs go while a terminal is drawn on; `None` where none is.
    pub(super) fn log_file(&self) -> Option<File> {
        let is_drawn = match self {
            Self::Lag(_) | Self::Locks(_) => false,
            Self::Watch(arguments) => arguments.is_drawn(),
            Self::Top(arguments) => arguments.is_drawn(),
        };
        let path = std::env::temp_dir().join("sagabus-live.log");
        if is_drawn { File::create(path).ok() } else { None }
    }
}

impl WatchArguments {
    fn is_drawn(&self) -> bool {
        self.output == WatchFormat::Table && std::io::stdout().is_terminal()
    }
}

impl TopArguments {
    fn is_drawn(&self) -> bool {
        !self.once && self.output.output == OutputFormat::Table && std::io::stdout().is_terminal()
    }
}

/// Looks, and shows what was seen.
pub(super) async fn run(reach: &Reach, verb: LiveVerb) -> Result<ExitCode, Failure> {
    match verb {
        LiveVerb::Lag(LagArguments { only_behind, output: format }) => {
            let places = reach.places("lag")?;
            // What is said wrongly is told before anything is asked.
            places.kafka(None)?;
            let report = Lookout::new(places, &places.reading().await?)?.everybody().await?;
            let report = if only_behind { report.only_behind() } else { report };
            report.notes.iter().for_each(|note| output::note(note));
            output::one(format.output, &report, render::lag);
            Ok(ExitCode::SUCCESS)
        }
        LiveVerb::Locks(LocksArguments { times, output: format }) => {
            let seen = reach.locks().await?;
            seen.notes.iter().for_each(|note| output::note(note));
            output::one(format.output, &seen, |seen| render::locks(seen, times.seen_from(seen.at.0)));
            if seen.sessions.iter().any(|session| session.waits_for.is_some()) {
                output::note(
                    "hint: SELECT pg_terminate_backend(PID) ends a session that others wait for; what it did not commit is undone",
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        LiveVerb::Watch(arguments) => watch(&reach.looking().await?, arguments).await,
        LiveVerb::Top(arguments) => {
            let places = reach.places("top")?;
            top(places, &places.reading().await?, arguments).await
        }
    }
}

async fn watch(looking: &Looking<'_>, arguments: WatchArguments) -> Result<ExitCode, Failure> {
    let one = looking.one(&arguments.one).await?;
    let until = arguments.wait.map(|wait| Instant::now() + wait);
    let mut screen = arguments.is_drawn().then(Screen::open);
    let mut before = 0;
    let (seen, whole) = loop {
        let (seen, whole) = if let Some(screen) = &mut screen {
            let (seen, explanation) = looking.watched(one, arguments.times.format()).await?;
            let whole = whole(&seen, &explanation, arguments.times);
            screen.draw(&scene(&whole));
            (seen, Some(whole))
        } else {
            let seen = looking.show(one, arguments.times.format()).await?;
            tell(&seen, &mut before, &arguments);
            (seen, None)
        };
        if seen.what.saga.finished_at.is_some() {
            break (seen, whole);
        }
        match pause(screen.as_ref(), LOOK, until).await {
            Pause::Over => {}
            Pause::Left => return Ok(ExitCode::SUCCESS),
            Pause::TimeUp => {
                let ListedJson { business_key, phase, .. } = seen.what.saga;
                let message = format!("saga {business_key} has not ended: it is {phase}");
                return Err(Failure::new(Exit::TimedOut, message, "sagabus explain says what it waits for"));
            }
        }
    };
    drop(screen);
    if let Some((head, body)) = whole {
        output::print(format!("{head}\n{body}").trim_end());
    }
    let ListedJson { business_key, phase, .. } = seen.what.saga;
    if phase == Phase::Completed.name() {
        return Ok(ExitCode::SUCCESS);
    }
    output::note(&format!("{business_key} is {phase}"));
    Ok(ExitCode::FAILURE)
}

/// Prints the rows of the journal that were not seen before.
fn tell(seen: &Seen<Shown>, before: &mut u32, arguments: &WatchArguments) {
    let rows: Vec<_> = seen.what.journal.iter().filter(|row| row.seq > *before).collect();
    *before = rows.last().map_or(*before, |row| row.seq);
    match arguments.output {
        WatchFormat::Jsonl => output::json_lines(&rows),
        WatchFormat::Table => {
            let times = arguments.times.seen_from(seen.now);
            rows.iter().for_each(|row| output::print(&render::row(row, times)));
        }
    }
}

fn whole(seen: &Seen<Shown>, explanation: &Explanation, times: TimeArguments) -> (String, String) {
    let body = render::watched_body(&seen.what, explanation, times.seen_from(seen.now));
    (render::watched_head(&seen.what), body)
}

fn scene((head, body): &(String, String)) -> Scene {
    let (title, foot) = ("sagabus watch".to_owned(), "q ends".to_owned());
    Scene { title, head: head.clone(), foot, ..Scene::default() }.with_text(body)
}

async fn top(places: &Places, console: &Console, arguments: TopArguments) -> Result<ExitCode, Failure> {
    let mut lookout = if places.kafka.is_some() { Some(Lookout::new(places, console)?) } else { None };
    if !arguments.is_drawn() {
        let seen = operations::top(console, lookout.as_mut()).await?;
        output::one(arguments.output.output, &seen, |seen| {
            let times = arguments.times.seen_from(seen.at.0);
            format!("{}\n\n{}", render::top_head(seen), render::top_body(seen, times))
        });
        return Ok(ExitCode::SUCCESS);
    }
    let mut screen = Screen::open();
    loop {
        let seen = operations::top(console, lookout.as_mut()).await?;
        screen.draw(&overview(&seen, arguments.times));
        if let Pause::Left = pause(Some(&screen), arguments.every, None).await {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn overview(seen: &TopJson, times: TimeArguments) -> Scene {
    let (head, body) = (render::top_head(seen), render::top_body(seen, times.seen_from(seen.at.0)));
    let (title, foot) = ("sagabus top".to_owned(), format!("{}      q ends", seen.at.0));
    Scene { title, head, foot, ..Scene::default() }.with_text(&body)
}

/// How the wait between two looks ended.
enum Pause {
    /// It is time to look.
    Over,
    /// Somebody has seen enough.
    Left,
    /// Nobody waits longer.
    TimeUp,
}

async fn pause(screen: Option<&Screen>, long: Duration, until: Option<Instant>) -> Pause {
    let over = Instant::now() + long;
    loop {
        let now = Instant::now();
        if screen.is_some_and(Screen::wants_to_end) {
            return Pause::Left;
        }
        if until.is_some_and(|until| now >= until) {
            return Pause::TimeUp;
        }
        if now >= over {
            return Pause::Over;
        }
        let wait = if screen.is_some() { KEYS } else { LOOK };
        let left = until.map_or(over, |until| until.min(over)).saturating_duration_since(now);
        tokio::time::sleep(wait.min(left)).await;
    }
}
