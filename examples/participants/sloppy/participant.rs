//! A participant in memory that keeps the contract, but for the one rule that it is told to break. Each defect stands in one place,
//! marked with its name, as it is found in services that meant well.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sagabus::bus::{BusError, Group, KafkaSettings, Producer};
use sagabus::core::{Action, Answer, Json, Outcome, Sha256};
use sagabus::wire::{self, Attribute, Event, Malformed, Outgoing, Received, Record};
use tokio::time::Instant;
use uuid::Uuid;

/// What is done badly. README.md lists the cases of the kit that each fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sloppiness {
    /// Nothing: the measure for all others.
    None,
    /// Runs every delivery, and keeps no reply.
    NoStoredReply,
    /// Sends the stored reply again, after having the effect again.
    EffectBeforeLookup,
    /// Looks whether a command is known before it waits for its turn.
    ChecksThenActs,
    /// Undoes by the id of the undo: a new attempt undoes again.
    UndoesTwice,
    /// An undo that finds nothing leaves no tombstone, and one that finds something none either.
    NoTombstone,
    /// A do and its undo that arrive together do not see each other.
    LooksTooEarly,
    /// Refuses only the attempt that was undone.
    NewAttemptRuns,
    /// Deduplicates by id and never looks at the data.
    ChangedDataAccepted,
    /// Keeps no failures: what was refused once may succeed later.
    ForgetsFailures,
    /// Answers what it cannot read with a failure.
    AnswersGarbage,
    /// Stops at what it cannot read.
    StopsAtGarbage,
    /// Answers under the saga's id instead of the command's key.
    WrongKey,
    /// Puts its own id for the saga's.
    WrongCorrelation,
    /// Names the saga as the cause, not the command.
    WrongCausation,
}

/// The time between a careless look and the act that relies on it. Real ones are shorter; what arrives together at two consumers must
/// fall into this one.
const CARELESS: Duration = Duration::from_millis(200);

/// A saga's step.
type Step = (Uuid, Arc<str>);

/// What the participant remembers.
#[derive(Clone, Debug, Default)]
struct Memory {
    answers: HashMap<Uuid, (Sha256, Answer)>,
    done: HashSet<Step>,
    undone: HashSet<Step>,
    closed: HashSet<Step>,
}

/// The participant.
pub(crate) struct Participant {
    sloppiness: Sloppiness,
    memory: Memory,
    refused: HashSet<Uuid>,
    references: u64,
    /// Effects, a line `saga step +1` or `-1` each.
    ledger: Option<std::fs::File>,
}

/// Serves a command topic until `stop` is set, or until it stops by itself. Blocking.
pub(crate) fn serve(
    kafka: &KafkaSettings,
    topic: &str,
    mut participant: Participant,
    stop: &AtomicBool,
) -> Result<(), BusError> {
    let mut group = Group::join(kafka, &[topic])?;
    let mut producer = Producer::new(kafka)?;
    let mut tag = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut answers = Vec::new();
        let before = participant.memory.clone();
        let mut arrived = group.poll(500, Duration::from_millis(50));
        if participant.looks_first() && !arrived.is_empty() {
            let acts_at = Instant::now() + CARELESS;
            while Instant::now() < acts_at {
                arrived.extend(group.poll(500, Duration::from_millis(10)));
            }
        }
        for (record, event) in arrived {
            match read(&record, &event) {
                Ok(command) => answers.push(participant.answer(&command, &before)),
                Err(malformed) if participant.sloppiness == Sloppiness::StopsAtGarbage => {
                    tracing::error!(%malformed, "stopping: a command cannot be read");
                    return Ok(());
                }
                Err(malformed) if participant.sloppiness == Sloppiness::AnswersGarbage => {
                    answers.extend(event.as_ref().ok().and_then(|event| complaint(&record, event, &malformed)));
                }
                Err(_) => {}
            }
        }
        if !answers.is_empty() {
            tag += 1;
            producer.emit(tag, answers);
        }
        while producer.unacknowledged() > 0 && !stop.load(Ordering::Relaxed) {
            _ = producer.delivered();
            std::thread::yield_now();
        }
        group.commit();
    }
    Ok(())
}

fn read(record: &Record, event: &Result<Event, Malformed>) -> Result<Received, Malformed> {
    wire::received(record, event.as_ref().map_err(Clone::clone)?)
}

/// AnswersGarbage: a failure for whatever has an id and says where to answer.
fn complaint(record: &Record, event: &Event, malformed: &Malformed) -> Option<Outgoing> {
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", format!("{}:complaint", event.get(Attribute::Id)?)),
        ("ce_type", "complaint".to_owned()),
        ("ce_source", "/participants/sloppy".to_owned()),
        ("ce_correlationid", event.get(Attribute::CorrelationId)?.to_owned()),
        ("ce_causationid", event.get(Attribute::Id)?.to_owned()),
        ("ce_sagaoutcome", "failure".to_owned()),
        ("ce_sagaerrorcode", malformed.code.to_owned()),
    ];
    Some(Outgoing {
        topic: event.get(Attribute::ReplyTo)?.into(),
        key: String::from_utf8_lossy(record.key().unwrap_or_default()).into(),
        value: Json::empty_object(),
        headers: headers.into_iter().collect(),
        timestamp: None,
    })
}

impl Participant {
    /// A participant with this defect. Writes its effects down in `ledger`, if there is one.
    pub(crate) fn new(sloppiness: Sloppiness, ledger: Option<&Path>) -> std::io::Result<Self> {
        let open = |path: &Path| std::fs::File::options().create(true).append(true).open(path);
        let ledger = ledger.map(open).transpose()?;
        Ok(Self { sloppiness, memory: Memory::default(), refused: HashSet::new(), references: 0, ledger })
    }

    /// True when it relies on what it saw some time before.
    fn looks_first(&self) -> bool {
        matches!(self.sloppiness, Sloppiness::ChecksThenActs | Sloppiness::LooksTooEarly)
    }

    /// Handles a delivery. `before`: what was known when its batch arrived.
    fn answer(&mut self, command: &Received, before: &Memory) -> Outgoing {
        let looked_at = if self.sloppiness == Sloppiness::ChecksThenActs { before } else { &self.memory };
        let stored = looked_at.answers.get(&command.id).cloned();
        let answer = match stored {
            Some((hash, _)) if hash != command.data_hash && self.sloppiness != Sloppiness::ChangedDataAccepted => {
                failure(command, Answer::CONFLICT)
            }
            Some((_, answer)) => {
                if self.sloppiness == Sloppiness::EffectBeforeLookup && answer.outcome == Outcome::Success {
                    self.note(command);
                }
                answer
            }
            None => self.run(command, before),
        };
        self.said(command, &answer)
    }

    /// Runs a command that is new, and keeps the answer.
    fn run(&mut self, command: &Received, before: &Memory) -> Answer {
        let answer = match command.action {
            Action::Do => self.perform(command, before),
            Action::Undo => self.undo(command, before),
        };
        let forgets_this = self.sloppiness == Sloppiness::ForgetsFailures && answer.outcome == Outcome::Failure;
        if self.sloppiness != Sloppiness::NoStoredReply && !forgets_this {
            self.memory.answers.insert(command.id, (command.data_hash, answer.clone()));
        }
        answer
    }

    fn perform(&mut self, command: &Received, before: &Memory) -> Answer {
        let step = (command.saga_id, Arc::clone(&command.step));
        let closed = if self.sloppiness == Sloppiness::LooksTooEarly { &before.closed } else { &self.memory.closed };
        if closed.contains(&step) && (self.sloppiness != Sloppiness::NewAttemptRuns || command.attempt == 1) {
            return failure(command, "saga.step_closed");
        }
        // The business rule: some data are refused. ForgetsFailures refuses them once.
        if command.data.get().contains("refuse") {
            let is_first = self.refused.insert(command.id);
            if is_first || self.sloppiness != Sloppiness::ForgetsFailures {
                return failure(command, "OUT_OF_STOCK");
            }
        }
        self.memory.done.insert(step);
        self.success(command)
    }

    fn undo(&mut self, command: &Received, before: &Memory) -> Answer {
        let step = (command.saga_id, Arc::clone(&command.step));
        if self.sloppiness != Sloppiness::NoTombstone {
            self.memory.closed.insert(step.clone());
        }
        let done = if self.sloppiness == Sloppiness::LooksTooEarly { &before.done } else { &self.memory.done };
        let is_undone = self.memory.undone.contains(&step) && self.sloppiness != Sloppiness::UndoesTwice;
        if !done.contains(&step) || is_undone {
            return Answer { without_effect: true, ..answer(command, Outcome::Success, Json::empty_object()) };
        }
        self.memory.undone.insert(step);
        self.success(command)
    }

    /// The effect, and an answer that could not be given twice by chance.
    fn success(&mut self, command: &Received) -> Answer {
        self.note(command);
        self.references += 1;
        let data = format!(r#"{{"reference":{}}}"#, self.references);
        answer(command, Outcome::Success, Json::parse(data.as_bytes()).expect("a number in an object is JSON"))
    }

    fn note(&mut self, command: &Received) {
        let sign = if command.action == Action::Do { "+1" } else { "-1" };
        if let Some(ledger) = &mut self.ledger {
            _ = writeln!(ledger, "{} {} {sign}", command.saga_id, command.step);
        }
    }

    /// The record, with what is wrong about it.
    fn said(&self, command: &Received, answer: &Answer) -> Outgoing {
        let mut record = wire::answer(command, "sloppy", answer);
        let mut put = |name: &str, value: String| record.headers = record.headers.with(name, &value);
        if self.sloppiness == Sloppiness::WrongCorrelation {
            put("ce_correlationid", command.id.to_string());
        }
        if self.sloppiness == Sloppiness::WrongCausation {
            put("ce_causationid", command.saga_id.to_string());
        }
        if self.sloppiness == Sloppiness::WrongKey {
            record.key = command.saga_id.to_string().into();
        }
        record
    }
}

fn failure(command: &Received, code: &str) -> Answer {
    Answer { code: Some(code.into()), ..answer(command, Outcome::Failure, Json::empty_object()) }
}

fn answer(command: &Received, outcome: Outcome, data: Json) -> Answer {
    let id = format!("{}:{}", command.id, if outcome == Outcome::Success { "done" } else { "refused" });
    Answer { id: id.into(), outcome, data, code: None, retryable: false, without_effect: false }
}
