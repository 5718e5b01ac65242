//! Sagas decided again, and taken home as files. Nothing here can send; only `import` writes, into a database that has no sagas.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use crate::core::{Sha256, Timestamp, Transition};
use crate::definition::{Compiled, Source};
use crate::replay::{self, Difference, Export, ExportWriter};
use crate::store::{Console, SagaFilter, SagaRow};

use super::failure::{Exit, Failure};
use super::opened::Plans;
use super::read::find_one;
use super::sight::Sight;
use super::verify::PAGE;

/// A saga that can be decided again, or why it cannot.
#[derive(Clone, Debug)]
pub struct Replayable {
    /// Its small row.
    pub row: SagaRow,
    /// The definition that it is pinned to, and its journal; or why one of them cannot be had.
    pub recorded: Result<(Arc<Compiled>, Vec<Transition>), String>,
}

/// What came of deciding a saga again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedJson {
    /// The saga.
    pub saga_id: Uuid,
    /// Its business key.
    pub business_key: String,
    /// `same`, `differs` or `cannot`.
    pub outcome: &'static str,
    /// The first journal row that would be another one.
    pub seq: Option<usize>,
    /// What it says.
    pub recorded: Option<String>,
    /// What would be decided; or why nothing can be.
    pub decided: Option<String>,
}

/// What came of deciding many sagas again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    /// Decided as they were.
    pub same: usize,
    /// Decided differently.
    pub differs: usize,
    /// Not decided.
    pub cannot: usize,
    /// Over every saga and what came of it: the same inputs give the same digest.
    pub digest: Sha256,
    /// Those that are not the same, in the order in which they were read.
    pub sagas: Vec<ReplayedJson>,
}

/// A definition from its file.
///
/// # Errors
/// It is wrong (exit 7).
pub fn definition_file(file: &Path) -> Result<Compiled, Failure> {
    Ok(Compiled::load(&Source::read(file)?)?)
}

/// The sagas that this names: those of a file that `export` wrote, or the one with this id or business key.
///
/// # Errors
/// The file cannot be read (exit 2), there is no such saga (3), or the database does not answer (6).
pub async fn replayable(console: Option<&Console>, what: &str) -> Result<Vec<Replayable>, Failure> {
    if Path::new(what).is_file() {
        return of_file(&read_file(Path::new(what))?);
    }
    let hint = "give the file that sagabus replay export wrote, or say --database-url";
    let console = console.ok_or_else(|| Failure::new(Exit::Usage, format!("there is no file {what}"), hint))?;
    let saga = find_one(console, what, None).await?;
    of_database(console, &[saga.row.id], &mut Plans::default()).await
}

/// The sagas that a filter finds, newest first, at most `limit`.
///
/// # Errors
/// The database does not answer.
pub async fn replayables(console: &Console, filter: &SagaFilter, limit: usize) -> Result<Vec<Replayable>, Failure> {
    let listed = console.list(filter, limit).await?;
    let ids: Vec<Uuid> = listed.iter().take(limit).map(|saga| saga.row.id).collect();
    let (mut plans, mut found) = (Plans::default(), Vec::with_capacity(ids.len()));
    for page in ids.chunks(PAGE) {
        found.extend(of_database(console, page, &mut plans).await?);
    }
    Ok(found)
}

async fn of_database(console: &Console, ids: &[Uuid], plans: &mut Plans) -> Result<Vec<Replayable>, Failure> {
    let mut found = Vec::with_capacity(ids.len());
    for snapshot in console.snapshots(ids).await? {
        let plan = plans.get(console, snapshot.row.definition_hash).await?;
        let journal = replay::decode(snapshot.facts.iter().map(Vec::as_slice));
        let recorded = plan.and_then(|plan| journal.map(|journal| (plan, journal)));
        found.push(Replayable { row: snapshot.row, recorded });
    }
    Ok(found)
}

fn read_file(file: &Path) -> Result<Export, Failure> {
    let failed = |error: String| {
        let hint = "write it anew with sagabus replay export";
        Failure::new(Exit::Usage, format!("{}: {error}", file.display()), hint)
    };
    let open = File::open(file).map_err(|error| failed(error.to_string()))?;
    replay::read(BufReader::new(open)).map_err(failed)
}

fn of_file(export: &Export) -> Result<Vec<Replayable>, Failure> {
    let mut plans: BTreeMap<Sha256, Result<Arc<Compiled>, String>> = BTreeMap::new();
    for row in &export.definitions {
        let source = Source::from_body(&row.body).map_err(|error| Failure::new(Exit::Usage, error.to_string(), ""))?;
        let plan = Compiled::load(&source).map(Arc::new).map_err(|report| report.to_string());
        plans.insert(row.hash, plan);
    }
    let unknown = || Err("its definition is not in the file".to_owned());
    let one = |saga: &replay::Exported| {
        let plan = plans.get(&saga.row.definition_hash).cloned().unwrap_or_else(unknown);
        let plan = if export.is_masked { Err("payloads are masked: export with --reveal".to_owned()) } else { plan };
        Replayable { row: saga.row.clone(), recorded: plan.map(|plan| (plan, saga.journal.clone())) }
    };
    Ok(export.sagas.iter().map(one).collect())
}

/// Decides sagas again, up to journal row `until`, under their own definitions or under `other`.
pub fn replay_run(sagas: &[Replayable], other: Option<&Compiled>, until: Option<usize>) -> ReplayReport {
    let mut report = ReplayReport { same: 0, differs: 0, cannot: 0, digest: Sha256::of(b""), sagas: Vec::new() };
    for saga in sagas {
        let outcome = saga.recorded.clone().and_then(|(own, mut journal)| {
            journal.truncate(until.unwrap_or(usize::MAX));
            match other {
                None => replay::run(&own, saga.row.id, &journal),
                Some(other) if other.definition().name != own.definition().name => {
                    Err(format!("it is a saga of {}, not of {}", own.definition().name, other.definition().name))
                }
                Some(other) => replay::run_with(&own, other, saga.row.id, &journal),
            }
        });
        let replayed = replayed(&saga.row, outcome);
        let text = serde_json::to_string(&replayed).expect("output is plain data");
        report.digest = Sha256::of(&[report.digest.as_bytes().as_slice(), text.as_bytes()].concat());
        match replayed.outcome {
            "same" => report.same += 1,
            "differs" => report.differs += 1,
            _ => report.cannot += 1,
        }
        if replayed.outcome != "same" {
            report.sagas.push(replayed);
        }
    }
    report
}

fn replayed(row: &SagaRow, outcome: Result<Option<Difference>, String>) -> ReplayedJson {
    let (outcome, seq, recorded, decided) = match outcome {
        Ok(None) => ("same", None, None, None),
        Ok(Some(apart)) => ("differs", Some(apart.seq), Some(apart.recorded), Some(apart.decided)),
        Err(why) => ("cannot", None, None, Some(why)),
    };
    ReplayedJson { saga_id: row.id, business_key: row.business_key.to_string(), outcome, seq, recorded, decided }
}

/// Writes sagas and the definitions that they are pinned to; masked, every payload is, whatever definitions say. Returns how many, and
/// the file's digest.
///
/// # Errors
/// One cannot be read (exit 1), the file cannot be written, or the database does not answer.
pub async fn export(
    console: &Console,
    sagas: &[Replayable],
    out: impl Write,
    at: Timestamp,
    sight: Sight,
) -> Result<(u64, Sha256), Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("write the file: {error}"), "");
    let mut writer = ExportWriter::begin(out, at, sight == Sight::Masked).map_err(failed)?;
    let hashes: BTreeSet<Sha256> = sagas.iter().map(|saga| saga.row.definition_hash).collect();
    for hash in hashes {
        let row = console.definition(hash).await?;
        let row = row.ok_or_else(|| Failure::new(Exit::Failed, format!("definition {hash} is not there"), ""))?;
        writer.definition(&row).map_err(failed)?;
    }
    for saga in sagas {
        let (_, journal) = saga.recorded.as_ref().map_err(|why| {
            Failure::new(Exit::Failed, format!("saga {}: {why}", saga.row.id), "sagabus verify tells more")
        })?;
        writer.saga(&saga.row, journal).map_err(failed)?;
    }
    writer.end().map_err(failed)
}

/// Brings the sagas of a file into a database that has none. Returns how many.
///
/// # Errors
/// The file cannot be read or is masked (exit 2), the database has sagas (4), or does not answer (6).
pub async fn import(console: &Console, file: &Path) -> Result<usize, Failure> {
    let export = read_file(file)?;
    if export.is_masked {
        let hint = "an engine would go on with other data; export with --reveal";
        return Err(Failure::new(Exit::Usage, "its payloads are masked", hint));
    }
    let sagas: Vec<_> = export
        .sagas
        .iter()
        .map(|saga| (saga.row.clone(), saga.journal.iter().map(|row| (row.now, row.encode())).collect()))
        .collect();
    if console.import(&export.definitions, &sagas).await? {
        return Ok(sagas.len());
    }
    let hint = "import goes into a database of its own: sagabus migrate makes one";
    Err(Failure::new(Exit::Refused, "the database has sagas", hint))
}
