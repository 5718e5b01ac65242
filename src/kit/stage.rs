//! Carries out a case's script over Kafka: sends, listens, sends again what is not answered, restarts, counts. Judges nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::bus::{Probe, RawRecord};
use crate::core::{Timestamp, limits};
use crate::operations::{Exit, Failure};
use crate::wire;

use super::cases::Case;
use super::course::{Addresses, Course, Heard};
use super::script::{Garbage, Item, Letter, Move, Name};
use super::shell;
use super::target::{KitSaga, Target};

/// How long a poll waits.
const POLL: Duration = Duration::from_millis(20);
/// How long a script listens for what nobody asked for.
const LISTEN: Duration = Duration::from_millis(500);
/// How long a ledger may be asked about one case.
const COUNT_AT_MOST: Duration = Duration::from_secs(10);
/// Ledger commands at once.
const COUNTERS: usize = 4;

/// How long the participant may take, and the commands of the person who runs the kit.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// For an answer.
    pub(super) timeout: Duration,
    /// For the first answer, and for the first one after a restart.
    pub(super) restart_timeout: Duration,
    /// Restarts the participant.
    pub(super) restart_command: Option<String>,
    /// Prints the effects of `{saga}` and `{step}`.
    pub(super) ledger_command: Option<String>,
}

/// Where cases are played.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) target: Target,
    pub(super) terms: Terms,
    pub(super) probe: Probe,
    /// Partitions of the command topic.
    pub(super) partitions: usize,
    /// Tells the keys of this run from those of any other.
    pub(super) run: String,
    pub(super) began_at: Timestamp,
    /// True until the participant has answered for the first time, and again from a restart on.
    pub(super) is_cold: bool,
}

/// One case under way.
struct Scene {
    sagas: Vec<KitSaga>,
    addresses: Addresses,
    /// What was sent: a command that is sent again is the same record.
    records: HashMap<Letter, RawRecord>,
    course: Course,
}

impl Stage {
    /// Plays a case to its end. Returns what came.
    ///
    /// # Errors
    /// Kafka does not answer (exit 6), a command of the person who runs the kit fails (exit 2).
    pub(super) fn play(&mut self, case: &Case) -> Result<Course, Failure> {
        let mut scene = self.scene(case);
        for step in (case.script)() {
            match step {
                Move::Send(items) => {
                    let Some(records) = self.records(&mut scene, &items) else { break };
                    self.probe.send(&records)?;
                    self.wait(&mut scene, &items)?;
                }
                Move::Throw(items) => {
                    let Some(records) = self.records(&mut scene, &items) else { break };
                    self.probe.send(&records)?;
                }
                Move::Restart => self.restart(&mut scene)?,
                Move::Listen => self.listen(&mut scene, LISTEN),
            }
        }
        self.listen(&mut scene, Duration::ZERO);
        self.count(&mut scene)?;
        let mut course = scene.course;
        course.unfit = course.data(Name::doing(0)).and_then(|reply| self.target.check_reply(reply).err());
        Ok(course)
    }

    fn scene(&self, case: &Case) -> Scene {
        let key = |saga| format!("kit-{}-{}-{saga}", self.run, case.number);
        let sagas: Vec<KitSaga> = (0..case.sagas).map(|saga| self.target.saga(key(saga), self.began_at)).collect();
        let mut addresses = Addresses::default();
        for (place, saga) in sagas.iter().enumerate() {
            addresses.sagas.insert(saga.id, place);
            addresses.keys.insert(saga.key.to_string(), place);
        }
        Scene { sagas, addresses, records: HashMap::new(), course: Course::default() }
    }

    /// The records of these items; `None` when one cannot be made of what was replied, which ends the script.
    fn records(&self, scene: &mut Scene, items: &[Item]) -> Option<Vec<RawRecord>> {
        let records: Result<_, String> = items.iter().map(|item| self.record(scene, item)).collect();
        match records {
            Ok(records) => Some(records),
            Err(message) => {
                scene.course.cut_short = Some(message);
                None
            }
        }
    }

    fn record(&self, scene: &mut Scene, item: &Item) -> Result<RawRecord, String> {
        match item {
            Item::Letter(letter) => {
                if let Some(known) = scene.records.get(letter) {
                    return Ok(known.clone());
                }
                let record = self.command(scene, *letter)?;
                scene.records.insert(*letter, record.clone());
                Ok(record)
            }
            Item::Garbage(kind, name) => {
                let other = self.target.command_id(&scene.sagas[name.saga], name.attempt(2));
                scene.addresses.commands.insert(other, name.attempt(2));
                let letter = Letter::from(*name).on(0);
                Ok(broken(*kind, self.command(scene, letter)?, &other.to_string()))
            }
        }
    }

    fn command(&self, scene: &mut Scene, letter: Letter) -> Result<RawRecord, String> {
        let saga = &scene.sagas[letter.name.saga];
        let reply = scene.course.data(Name::doing(letter.name.saga));
        let command = self.target.command(saga, letter, reply)?;
        scene.addresses.commands.insert(command.id, letter.name);
        let partition = letter.lane.and_then(|lane| i32::try_from(lane.among(self.partitions)).ok());
        Ok(RawRecord { partition, ..wire::command(&command).into() })
    }

    /// Until each command is answered once for each time that it was sent; sends again, as Sagabus does, what is not.
    fn wait(&mut self, scene: &mut Scene, items: &[Item]) -> Result<(), Failure> {
        let letters: Vec<Letter> = items
            .iter()
            .filter_map(|item| match item {
                Item::Letter(letter) => Some(*letter),
                Item::Garbage(..) => None,
            })
            .collect();
        let mut missing: BTreeMap<Name, usize> = BTreeMap::new();
        for letter in &letters {
            *missing.entry(letter.name).or_insert(0) += 1;
        }
        let patience = if self.is_cold { self.terms.restart_timeout } else { self.terms.timeout };
        let ask_again = self.terms.timeout / 4;
        let (mut until, mut again_at) = (Instant::now() + patience, Instant::now() + ask_again);
        while !missing.is_empty() && Instant::now() < until {
            let before = scene.course.heard.len();
            self.listen(scene, POLL);
            for heard in &scene.course.heard[before..] {
                if heard.is_progress() {
                    until = Instant::now() + patience;
                } else if let Some(left) = heard.command.and_then(|name| missing.get_mut(&name)) {
                    // More may come than were asked for: what was sent again is answered again.
                    *left = left.saturating_sub(1);
                }
            }
            missing.retain(|_, left| *left > 0);
            if Instant::now() >= again_at {
                again_at += ask_again;
                let unanswered = letters.iter().filter(|letter| missing.contains_key(&letter.name));
                let records: Vec<RawRecord> = unanswered.map(|letter| scene.records[letter].clone()).collect();
                self.probe.send(&records)?;
            }
        }
        self.is_cold = false;
        Ok(())
    }

    /// Hears what has arrived; waits for the first of it at most this long.
    fn listen(&mut self, scene: &mut Scene, wait: Duration) {
        for (record, event) in self.probe.poll(wait) {
            scene.course.heard.extend(Heard::read(&record, &event, &scene.addresses));
        }
    }

    fn restart(&mut self, scene: &mut Scene) -> Result<(), Failure> {
        let Some(command) = &self.terms.restart_command else { return Ok(()) };
        let mut shell = shell::restart(command)?;
        let until = Instant::now() + self.terms.restart_timeout;
        self.is_cold = true;
        loop {
            match shell.try_wait() {
                Ok(Some(status)) => return shell::restarted(status),
                Ok(None) if Instant::now() < until => self.listen(scene, POLL),
                Ok(None) | Err(_) => {
                    _ = shell.kill();
                    let hint = "it must start the participant in the background, and end";
                    return Err(Failure::new(Exit::Usage, "--restart-command does not end", hint));
                }
            }
        }
    }

    /// Asks the ledger about every saga of the case, as far as time allows.
    fn count(&self, scene: &mut Scene) -> Result<(), Failure> {
        let Some(command) = &self.terms.ledger_command else { return Ok(()) };
        let until = Instant::now() + COUNT_AT_MOST;
        let commands: Vec<String> = scene.sagas.iter().map(|saga| self.target.fill(command, saga)).collect();
        let ask = |first: usize| {
            let own = commands.iter().enumerate().skip(first).step_by(COUNTERS);
            let timely = own.take_while(|_| Instant::now() < until);
            timely.map(|(place, command)| Ok((place, shell::count(command)?))).collect::<Result<Vec<_>, Failure>>()
        };
        let counted = std::thread::scope(|scope| {
            let counters: Vec<_> = (0..COUNTERS).map(|first| scope.spawn(move || ask(first))).collect();
            counters.into_iter().map(|counter| counter.join().expect("counting does not panic")).collect::<Vec<_>>()
        });
        for counts in counted {
            scene.course.effects.extend(counts?);
        }
        Ok(())
    }
}

/// A good command, broken.
fn broken(kind: Garbage, good: RawRecord, other_id: &str) -> RawRecord {
    match kind {
        Garbage::NotJson => RawRecord { value: Some(b"{not json".to_vec()), ..good },
        Garbage::NoHeaders => RawRecord { headers: Vec::new(), ..good },
        Garbage::Null => RawRecord { value: None, ..good },
        Garbage::Huge => RawRecord { value: Some(vec![b'x'; limits::VALUE_BYTES]), ..good },
        Garbage::TwoIds => {
            let mut twice = good;
            twice.headers.push(("ce_id".to_owned(), other_id.as_bytes().to_vec()));
            twice
        }
    }
}
