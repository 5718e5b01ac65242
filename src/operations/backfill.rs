//! `replay redrive`: a stretch of a log is read again, and what has left no trace enters the line, as if it were read now. Ids are derived,
//! so that it may be done again from the start: what was there is there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::bus::{Admin, LogPlace, LogReader};
use crate::core::{Phase, Verdict};
use crate::engine::{Reader, Reading, put_aside};
use crate::store::{Console, ParkedMessage};
use crate::wire::Record;

use super::blocking::on_a_thread;
use super::failure::{Exit, Failure};
use super::opened::reader;
use super::parked::judged;
use super::places::Places;

/// Records that are read at once.
const PAGE: usize = 500;
/// How long engines may take for those that were asked for together.
const WAIT: Duration = Duration::from_secs(60);

/// Which records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfill {
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
pub struct Backfilled {
    /// Records that were read.
    pub read: u64,
    /// Those that were left alone, by reason.
    pub left: BTreeMap<&'static str, u64>,
    /// Those that entered the line (or would have), by verdict.
    pub entered: BTreeMap<&'static str, u64>,
}

/// Reads the stretch, and sends what has left no trace down the line. `progress` hears of each page.
///
/// # Errors
/// No definition reads the topic (exit 3), Kafka or the database does not answer, or no engine judged in time (6).
pub async fn backfill(
    places: &Places,
    wanted: &Backfill,
    (who, reason): (&str, &str),
    mut progress: impl FnMut(&Backfilled),
) -> Result<Backfilled, Failure> {
    let (settings, console) = (places.kafka(None)?, places.console().await?);
    let reader = reader(&console).await?;
    if !reader.reads(&wanted.topic) {
        let message = format!("no active definition reads topic {}", wanted.topic);
        return Err(Failure::new(Exit::NotFound, message, "say a topic of triggers or replies"));
    }
    let partitions = match wanted.partition {
        Some(partition) => vec![partition],
        None => Admin::connect(&settings)?.watermarks(&wanted.topic)?.into_iter().map(|(number, ..)| number).collect(),
    };
    let mut sum = Backfilled::default();
    for partition in partitions {
        let (topic, from, to, settings) = (wanted.topic.clone(), wanted.from, wanted.to, settings.clone());
        let mut log = on_a_thread(move || Ok(LogReader::open(&settings, &topic, partition, from, to)?)).await?;
        loop {
            let (same, records) = on_a_thread(move || {
                let records = log.take(PAGE)?;
                Ok((log, records))
            })
            .await?;
            log = same;
            if records.is_empty() {
                break;
            }
            let missing = missing(&console, &reader, records, &mut sum).await?;
            for together in missing.chunks(wanted.max_active.max(1)) {
                enter(&console, wanted, together, (who, reason), &mut sum).await?;
            }
            progress(&sum);
        }
    }
    Ok(sum)
}

/// Where the sagas stand that a page of records is about.
#[derive(Default)]
struct Known {
    ids: HashMap<Uuid, Phase>,
    keys: HashMap<(String, String), Phase>,
}

impl Known {
    async fn look_up(console: &Console, readings: &[Reading]) -> Result<Self, Failure> {
        let (mut ids, mut keys) = (Vec::new(), Vec::new());
        for reading in readings {
            match reading {
                Reading::Answer { saga, .. } => ids.push(*saga),
                Reading::Starts(begun) => keys.extend_from_slice(begun),
                Reading::Settled(_) => {}
            }
        }
        let mut known = Self::default();
        for (id, name, key, phase) in console.phases(&ids, &keys).await? {
            known.ids.insert(id, phase);
            known.keys.insert((name, key), phase);
        }
        Ok(known)
    }

    /// Why the record is left alone, if so. An answer that is known already is a duplicate to the engine, which alone can tell.
    fn trace(&self, reading: &Reading) -> Option<&'static str> {
        match reading {
            Reading::Answer { saga, .. } if self.ids.contains_key(saga) => None,
            Reading::Answer { .. } => Some("unknown saga"),
            Reading::Settled(Verdict::Malformed) => Some("malformed"),
            Reading::Settled(_) => Some("starts nothing"),
            Reading::Starts(begun) => {
                let phase = |(name, key): &(Arc<str>, Arc<str>)| self.keys.get(&(name.to_string(), key.to_string()));
                let phases: Option<Vec<&Phase>> = begun.iter().map(phase).collect();
                Some(if phases?.iter().all(|phase| phase.is_final()) { "already exists" } else { "in flight" })
            }
        }
    }
}

/// The records that have left no trace; the others are counted.
async fn missing(
    console: &Console,
    reader: &Reader,
    records: Vec<Record>,
    sum: &mut Backfilled,
) -> Result<Vec<Record>, Failure> {
    let readings: Vec<Reading> = records.iter().map(|record| reader.read(record)).collect();
    let known = Known::look_up(console, &readings).await?;
    sum.read += records.len() as u64;
    let mut missing = Vec::new();
    for (record, reading) in records.into_iter().zip(readings) {
        match known.trace(&reading) {
            Some(why) => *sum.left.entry(why).or_insert(0) += 1,
            None => missing.push(record),
        }
    }
    Ok(missing)
}

async fn enter(
    console: &Console,
    wanted: &Backfill,
    records: &[Record],
    (who, reason): (&str, &str),
    sum: &mut Backfilled,
) -> Result<(), Failure> {
    if wanted.is_dry_run {
        *sum.entered.entry("would enter").or_insert(0) += records.len() as u64;
        return Ok(());
    }
    let moment = crate::engine::wall_clock().micros();
    let asked: Vec<(Uuid, ParkedMessage)> = records
        .iter()
        .map(|record| {
            let name = format!("{}/{}@{} {moment}", record.topic(), record.partition(), record.offset());
            (Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()), put_aside(record, String::new()))
        })
        .collect();
    console.redrive_read(&asked, who, reason).await?;
    let ids: Vec<Uuid> = asked.iter().map(|(id, _)| *id).collect();
    for one in judged(console, &ids, WAIT).await? {
        *sum.entered.entry(one.verdict.name()).or_insert(0) += 1;
    }
    Ok(())
}
