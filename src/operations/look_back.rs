//! `replay redrive`: a stretch of a log is read again, and what has left no trace enters the line, as if it were read now. Ids are derived,
//! so that it may be done again from the start: what was there is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::bus::{Admin, LogPlace, Stretch};
use crate::definition::{Compiled, Source, TriggerMatch};
use crate::store::{Console, ParkedMessage};
use crate::wire::{self, Event, Record};

use super::failure::{Exit, Failure};
use super::places::Places;

/// Records that are read at once.
const PAGE: usize = 500;
/// How long engines may take for those that were asked for together.
const WAIT: Duration = Duration::from_secs(60);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(100);

/// Which records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookBack {
    /// The topic: triggers or replies.
    pub topic: String,
    /// One partition; `None`: all.
    pub partition: Option<i32>,
    /// The first; `None`: where the log begins.
    pub from: Option<LogPlace>,
    /// Up to before it; `None`: where the log ends now.
    pub to: Option<LogPlace>,
    /// Records that enter the line together; the next ones wait until these are judged.
    pub max_active: usize,
    /// Only counts.
    pub is_dry_run: bool,
}

/// What became of the records of a stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LookedBack {
    /// Records that were read.
    pub read: u64,
    /// Those that were left alone, by reason.
    pub left: BTreeMap<&'static str, u64>,
    /// Those that entered the line (or would have), by verdict.
    pub entered: BTreeMap<&'static str, u64>,
}

/// What a record that was read again comes to.
enum Trace {
    /// Nothing is known of it.
    None,
    /// It is left alone, for this reason.
    Left(&'static str),
}

/// Reads the stretch, and sends what has left no trace down the line. `progress` hears of each page.
///
/// # Errors
/// No active definition reads the topic (exit 3), Kafka or the database does not answer, or no engine judged in time (6).
pub async fn look_back(
    places: &Places,
    back: &LookBack,
    (who, reason): (&str, &str),
    mut progress: impl FnMut(&LookedBack),
) -> Result<LookedBack, Failure> {
    let (settings, console) = (places.kafka(None)?, places.console().await?);
    let plans = active_plans(&console).await?;
    let reads = |plan: &Arc<Compiled>| {
        [&plan.definition().trigger_topic, &plan.definition().reply_topic].iter().any(|topic| ***topic == *back.topic)
    };
    if !plans.iter().any(reads) {
        let message = format!("no active definition reads topic {}", back.topic);
        return Err(Failure::new(Exit::NotFound, message, "say a topic of triggers or replies"));
    }
    let partitions = match back.partition {
        Some(partition) => vec![partition],
        None => Admin::connect(&settings)?.watermarks(&back.topic)?.into_iter().map(|(number, ..)| number).collect(),
    };
    let mut sum = LookedBack::default();
    for partition in partitions {
        let (topic, from, to, settings) = (back.topic.clone(), back.from, back.to, settings.clone());
        let opened = tokio::task::spawn_blocking(move || Stretch::open(&settings, &topic, partition, from, to));
        let mut stretch = joined(opened.await)??;
        loop {
            let taken = tokio::task::spawn_blocking(move || {
                let records = stretch.take(PAGE);
                (stretch, records)
            });
            let (same, records) = joined(taken.await)?;
            stretch = same;
            let records = records?;
            if records.is_empty() {
                break;
            }
            let mut missing = Vec::new();
            for record in records {
                sum.read += 1;
                match trace(&console, &plans, &record).await? {
                    Trace::Left(why) => *sum.left.entry(why).or_insert(0) += 1,
                    Trace::None => missing.push(record),
                }
            }
            for together in missing.chunks(back.max_active.max(1)) {
                enter(&console, back, together, (who, reason), &mut sum).await?;
            }
            progress(&sum);
        }
    }
    Ok(sum)
}

fn joined<T>(outcome: Result<T, tokio::task::JoinError>) -> Result<T, Failure> {
    outcome.map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))
}

async fn active_plans(console: &Console) -> Result<Vec<Arc<Compiled>>, Failure> {
    let mut plans = Vec::new();
    for row in console.active_definitions().await? {
        let source = Source::from_body(&row.body).map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))?;
        plans.push(Arc::new(Compiled::load(&source)?));
    }
    Ok(plans)
}

/// Whether the record has left a trace: a saga of its business key, or nothing that it could lead to.
async fn trace(console: &Console, plans: &[Arc<Compiled>], record: &Record) -> Result<Trace, Failure> {
    let Ok(event) = Event::read(record) else { return Ok(Trace::Left("malformed")) };
    let answers = plans.iter().any(|plan| plan.definition().reply_topic == *record.topic());
    let starts: Vec<&Arc<Compiled>> =
        plans.iter().filter(|plan| plan.definition().trigger_topic == *record.topic()).collect();
    if answers && (starts.is_empty() || wire::is_reply(&event)) {
        let Ok(reply) = wire::reply(record, &event) else { return Ok(Trace::Left("malformed")) };
        let is_there = !console.find(&reply.saga_id.to_string(), None).await?.is_empty();
        // An answer that is known already is a duplicate to the engine, which alone can tell.
        return Ok(if is_there { Trace::None } else { Trace::Left("unknown saga") });
    }
    let Ok(trigger) = wire::trigger(record, &event) else { return Ok(Trace::Left("malformed")) };
    let mut why = "starts nothing";
    for plan in starts.into_iter().filter(|plan| event.kind() == Some(&*plan.definition().trigger_type)) {
        match plan.accepts(&trigger) {
            Ok(TriggerMatch::NotThisOne) => {}
            Err(_) => why = "malformed",
            Ok(TriggerMatch::Start { business_key }) => {
                let found = console.find(&business_key, Some(&plan.definition().name)).await?;
                match found.first() {
                    None => return Ok(Trace::None),
                    Some(saga) if saga.row.phase.is_final() => why = "already exists",
                    Some(_) => why = "in flight",
                }
            }
        }
    }
    Ok(Trace::Left(why))
}

async fn enter(
    console: &Console,
    back: &LookBack,
    records: &[Record],
    (who, reason): (&str, &str),
    sum: &mut LookedBack,
) -> Result<(), Failure> {
    if back.is_dry_run {
        *sum.entered.entry("would enter").or_insert(0) += u64::try_from(records.len()).unwrap_or_default();
        return Ok(());
    }
    let moment = crate::engine::wall_clock().micros();
    let asked: Vec<(Uuid, ParkedMessage)> = records
        .iter()
        .map(|record| {
            let name = format!("{}/{}@{} {moment}", record.topic(), record.partition(), record.offset());
            (Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()), message(record))
        })
        .collect();
    console.redrive_read(&asked, who, reason).await?;
    let ids: Vec<Uuid> = asked.iter().map(|(id, _)| *id).collect();
    let until = Instant::now() + WAIT;
    loop {
        let judged = console.redriven(&ids).await?;
        if judged.len() == ids.len() {
            judged.iter().for_each(|one| *sum.entered.entry(one.verdict.name()).or_insert(0) += 1);
            return Ok(());
        }
        if Instant::now() >= until {
            let hint = "is a sagabus serve running on this database? run it again later: what was judged stays so";
            let message = format!("{} records were not judged within {} s", ids.len() - judged.len(), WAIT.as_secs());
            return Err(Failure::new(Exit::Unreachable, message, hint));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn message(record: &Record) -> ParkedMessage {
    ParkedMessage {
        topic: Arc::clone(record.topic()),
        partition: record.partition(),
        offset: record.offset(),
        reason: String::new(),
        key: record.key().map(<[u8]>::to_vec),
        value: record.value().map(<[u8]>::to_vec),
        headers: record.kept_headers(),
        written_at: record.timestamp(),
        is_whole: record.over_limits().is_none(),
    }
}
