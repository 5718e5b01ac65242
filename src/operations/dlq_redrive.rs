//! Dead letters that go back. Only the line sends commands, so nothing is written to a topic here: a command of ours is sent again by its
//! saga (`republish`, the same id), a trigger or an answer enters the line as it would from its own topic, and anything else is refused.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::bus::KafkaSettings;
use crate::core::{Operation, Target, Verb, Verdict, command_named};
use crate::engine::{Reader, Reading, put_aside, wall_clock};
use crate::store::{Console, ParkedMessage};
use crate::wire::{DeadLetter, KeptHeader, Record, RecordHead, dead_letter, is_of_dead_letters};

use super::act::{Decision, decision, operation};
use super::blocking::read;
use super::dlq::{marks, one};
use super::dry_run::dry_run;
use super::failure::{Exit, Failure};
use super::job::Rate;
use super::opened::{open, reader};
use super::pacer::Pacer;
use super::parked::judged;
use super::places::Places;

/// How long engines may take for one letter.
const WAIT: Duration = Duration::from_secs(10);
/// Where a header says neither partition nor offset.
const NOWHERE: i32 = -1;

/// Which dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letters {
    /// The one at this partition and offset.
    One(i32, i64),
    /// All of the topic, at most so many, in the order of its partitions and offsets.
    All(usize),
}

/// A dead letter and what becomes of it, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LetterOutcome {
    /// Where it lies.
    pub partition: i32,
    /// See `partition`.
    pub offset: i64,
    /// `republish`, `enter`, `covered` (the same command lies before it) or `refuse`; when it is done: `republished`, `entered`, `covered`
    /// or `refused`.
    pub outcome: &'static str,
    /// What it is: which command of which saga, or for which topic.
    pub what: String,
    /// What the engine made of what entered the line.
    pub verdict: Option<&'static str>,
    /// Why it is refused.
    pub message: Option<String>,
}

/// What becomes of dead letters, as programs read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DlqReport {
    /// Commands that their sagas send again.
    pub republished: usize,
    /// Triggers and answers that enter the line.
    pub entered: usize,
    /// Commands that lie there more than once: they are sent again once.
    pub covered: usize,
    /// What does not go back.
    pub refused: usize,
    /// There are more letters than were looked at.
    pub is_cut: bool,
    /// Each of them.
    pub letters: Vec<LetterOutcome>,
}

/// Dead letters, and what would become of them.
#[derive(Debug)]
pub struct Mailbag {
    back: Vec<Back>,
    /// What would become of them.
    pub shown: DlqReport,
}

/// How a letter goes back.
#[derive(Debug)]
enum Back {
    Republish { saga_id: Uuid, step: String },
    Enter(Box<ParkedMessage>),
    Covered,
    Refused(String),
}

impl DlqReport {
    fn count(&mut self, letter: LetterOutcome) {
        match letter.outcome {
            "republish" | "republished" => self.republished += 1,
            "enter" | "entered" => self.entered += 1,
            "covered" => self.covered += 1,
            _ => self.refused += 1,
        }
        self.letters.push(letter);
    }

    /// How many go back.
    pub fn goes_back(&self) -> usize {
        self.republished + self.entered
    }
}

/// Looks which letters there are and what would become of each. Reads only.
///
/// # Errors
/// There is no such topic or letter (exit 3), or Kafka or the database does not answer.
pub async fn mailbag(places: &Places, console: &Console, topic: &str, wanted: &Letters) -> Result<Mailbag, Failure> {
    let (records, is_cut) = records(&places.kafka(None)?, topic, wanted).await?;
    let reader = reader(console).await?;
    let mut bag = Mailbag { back: Vec::new(), shown: DlqReport { is_cut, ..DlqReport::default() } };
    let mut commands = HashSet::new();
    for record in &records {
        let told = dead_letter(record);
        let (what, back) = match command_of(&told) {
            Some((_, id, _)) if !commands.insert(id) => (format!("command {id}"), Back::Covered),
            Some((saga_id, id, target)) => of_command(console, saga_id, id, target).await?,
            None => of_others(&reader, record, &told),
        };
        let (outcome, message) = match &back {
            Back::Republish { .. } => ("republish", None),
            Back::Enter(_) => ("enter", None),
            Back::Covered => ("covered", None),
            Back::Refused(why) => ("refuse", Some(why.clone())),
        };
        let (partition, offset) = (record.partition(), record.offset());
        bag.shown.count(LetterOutcome { partition, offset, outcome, what, verdict: None, message });
        bag.back.push(back);
    }
    Ok(bag)
}

async fn records(settings: &KafkaSettings, topic: &str, wanted: &Letters) -> Result<(Vec<Record>, bool), Failure> {
    let limit = match wanted {
        Letters::One(partition, offset) => {
            return Ok((vec![one(settings, topic, *partition, *offset).await?], false));
        }
        Letters::All(limit) => *limit,
    };
    let mut found = Vec::new();
    for (partition, low, end) in marks(settings, topic, None).await? {
        // One more tells that there are more.
        let most = limit.saturating_add(1) - found.len();
        if most == 0 {
            break;
        }
        found.extend(read(settings, topic, partition, (low, end), most).await?);
    }
    let is_cut = found.len() > limit;
    found.truncate(limit);
    Ok((found, is_cut))
}

/// The command of ours that a letter is: its id is derived from the saga that it names.
fn command_of(told: &DeadLetter) -> Option<(Uuid, Uuid, Target)> {
    let (saga_id, id) = (told.saga_id?, told.id?);
    Some((saga_id, id, command_named(saga_id, id)?))
}

async fn of_command(console: &Console, saga_id: Uuid, id: Uuid, target: Target) -> Result<(String, Back), Failure> {
    let opened = match open(console, saga_id).await {
        Ok(opened) => opened,
        Err(failure) if failure.exit == Exit::Unreachable => return Err(failure),
        Err(failure) => return Ok((format!("a command of saga {saga_id}"), Back::Refused(failure.message))),
    };
    let saga = &opened.saga;
    let Some(step) = opened.definition().steps.get(target.step.at()) else {
        let why = "its definition has no such step".to_owned();
        return Ok((format!("a command of saga {saga_id}"), Back::Refused(why)));
    };
    let (step, key) = (step.name.to_string(), &saga.business_key);
    let what = format!("{} of {step}, attempt {}, of {key}", target.action.name(), target.attempt);
    let asked = Operation {
        id: Uuid::nil(),
        verb: Verb::Republish { step: step.clone() },
        who: String::new(),
        reason: "look".to_owned(),
        expect_seq: None,
    };
    let tried = dry_run(opened.rules(), saga, &asked, opened.now);
    let back = if tried.commands.iter().any(|command| command.id == id) {
        Back::Republish { saga_id, step }
    } else {
        Back::Refused(format!("its saga is {} and waits for no answer to this command", saga.phase))
    };
    Ok((what, back))
}

fn of_others(reader: &Reader, record: &Record, told: &DeadLetter) -> (String, Back) {
    let Some(topic) = &told.topic else {
        let why = "it is no command of ours, and no header tells which topic it came from";
        return ("unknown".to_owned(), Back::Refused(why.to_owned()));
    };
    let what = format!("for {topic}");
    let refused = |why: &str| (what.clone(), Back::Refused(why.to_owned()));
    if !reader.reads(topic) {
        return refused(
            "it is no command of ours, and no definition reads that topic: it is for its owner to send back",
        );
    }
    if record.over_limits().is_some() {
        return refused("of a record over the limits only the beginning is read");
    }
    let Some(message) = message(record, topic, told) else { return refused("its headers cannot be read") };
    let head = RecordHead {
        topic: Arc::clone(&message.topic),
        partition: message.partition,
        offset: message.offset,
        timestamp: message.written_at,
    };
    let restored = Record::restore(head, message.key.as_deref(), message.value.as_deref(), &message.headers);
    match restored.map(|restored| reader.read(&restored)) {
        Ok(Reading::Answer { .. } | Reading::Starts(_)) => (what, Back::Enter(Box::new(message))),
        Ok(Reading::Settled(Verdict::Malformed)) => refused("malformed: as it is it would be put aside again"),
        Ok(Reading::Settled(_)) => refused("no definition makes anything of it: its type, or a condition"),
        Err(why) => refused(&why),
    }
}

/// The record as it was before it was put aside.
fn message(record: &Record, topic: &str, told: &DeadLetter) -> Option<ParkedMessage> {
    let mut message = put_aside(record, String::new());
    let kept: Vec<KeptHeader> = serde_json::from_str(&message.headers).ok()?;
    let own: Vec<KeptHeader> = kept.into_iter().filter(|KeptHeader(name, _)| !is_of_dead_letters(name)).collect();
    message.headers = serde_json::to_string(&own).ok()?;
    message.topic = Arc::from(topic);
    message.partition = told.partition.unwrap_or(NOWHERE);
    message.offset = told.offset.unwrap_or(i64::from(NOWHERE));
    message.written_at = told.written_at.unwrap_or(message.written_at);
    Some(message)
}

/// Sends the letters back, at most at this rate. `progress` hears of each.
///
/// # Errors
/// No engine decided or judged in time (exit 6), or the database does not answer. What was sent back stays so.
pub async fn redrive_letters(
    console: &Console,
    bag: Mailbag,
    rate: Rate,
    (who, reason): (&str, &str),
    mut progress: impl FnMut(&DlqReport),
) -> Result<DlqReport, Failure> {
    let mut report = DlqReport { is_cut: bag.shown.is_cut, ..DlqReport::default() };
    let mut pacer = Pacer::new(rate);
    for (letter, back) in bag.shown.letters.into_iter().zip(bag.back) {
        if matches!(back, Back::Republish { .. } | Back::Enter(_)) {
            pacer.turn(1).await;
        }
        let (outcome, verdict, message) = match back {
            Back::Covered => ("covered", None, None),
            Back::Refused(why) => ("refused", None, Some(why)),
            Back::Republish { saga_id, step } => {
                let asked = operation(saga_id, Verb::Republish { step }, who, reason, None);
                match decision(console, saga_id, &asked).await? {
                    Decision::Acted(_) => ("republished", None, None),
                    Decision::Refused { message, .. } => ("refused", None, Some(message)),
                }
            }
            Back::Enter(message) => enter(console, *message, (&letter, who, reason)).await?,
        };
        report.count(LetterOutcome { outcome, verdict, message, ..letter });
        progress(&report);
    }
    Ok(report)
}

type Ended = (&'static str, Option<&'static str>, Option<String>);

async fn enter(
    console: &Console,
    message: ParkedMessage,
    (letter, who, reason): (&LetterOutcome, &str, &str),
) -> Result<Ended, Failure> {
    let name = format!("{}@{} {who} {} {}", letter.partition, letter.offset, std::process::id(), wall_clock().micros());
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    console.redrive_read(&[(id, message)], who, reason).await?;
    let judged = judged(console, &[id], WAIT).await?.pop();
    let judged = judged.ok_or_else(|| Failure::new(Exit::Failed, "what was judged is not there any more", ""))?;
    let outcome = match judged.verdict {
        Verdict::Applied | Verdict::Ignored | Verdict::Duplicate | Verdict::Stale => "entered",
        Verdict::Conflict | Verdict::Orphan | Verdict::Malformed => "refused",
    };
    Ok((outcome, Some(judged.verdict.name()), judged.message))
}
