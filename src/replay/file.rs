//! Sagas in a file: definitions, rows and journals, a JSON line each, with a version at its beginning and a checksum at its end.
//!
//! ```text
//! {"sagabus":{"version":1,"exportedAt":...,"isMasked":false}}
//! {"definition":{"hash":...,"name":...,"version":...,"body":...}}
//! {"saga":{"id":...,"businessKey":...,"journal":["{\"now\":...,\"facts\":[...]}", ...]}}
//! {"end":{"definitions":1,"sagas":1,"digest":...}}
//! ```
//! A journal row is a text that holds JSON, since foreign data pass byte for byte, line ends included. The digest is a chain: SHA-256 of
//! the digest so far and the line.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::core::{Phase, Sha256, Timestamp, Transition};
use crate::store::{DefinitionRow, SagaRow};

/// What this version writes and reads.
const VERSION: u32 = 1;
/// What stands for a text that is masked.
const MASK: &str = "masked";

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Payloads were replaced: such a saga folds, and decides differently.
    pub is_masked: bool,
    /// Every definition that a saga is pinned to.
    pub definitions: Vec<DefinitionRow>,
    /// Sagas, in the order of the file.
    pub sagas: Vec<Exported>,
}

/// A saga in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Its small row.
    pub row: SagaRow,
    /// Its journal.
    pub journal: Vec<Transition>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Sagabus(Head),
    Definition(DefinitionLine),
    Saga(Box<SagaLine>),
    End(End),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    version: u32,
    exported_at: Timestamp,
    is_masked: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DefinitionLine {
    hash: Sha256,
    name: Arc<str>,
    version: u32,
    body: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SagaLine {
    id: Uuid,
    definition_hash: Sha256,
    definition_name: Arc<str>,
    business_key: Arc<str>,
    phase: String,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    wake_at: Option<Timestamp>,
    error: Option<String>,
    journal: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct End {
    definitions: u64,
    sagas: u64,
    digest: Sha256,
}

/// Writes a file, line by line.
#[derive(Debug)]
pub struct ExportWriter<W> {
    out: W,
    is_masked: bool,
    digest: Sha256,
    definitions: u64,
    sagas: u64,
}

impl<W: Write> ExportWriter<W> {
    /// Begins a file. `is_masked`: payloads are replaced, the shape of the data and everything else is kept.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(out: W, exported_at: Timestamp, is_masked: bool) -> io::Result<Self> {
        let mut writer = Self { out, is_masked, digest: Sha256::of(b""), definitions: 0, sagas: 0 };
        writer.line(&Line::Sagabus(Head { version: VERSION, exported_at, is_masked }))?;
        Ok(writer)
    }

    /// Adds a definition: before the sagas that are pinned to it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn definition(&mut self, row: &DefinitionRow) -> io::Result<()> {
        self.definitions += 1;
        let DefinitionRow { hash, name, version, body } = row.clone();
        self.line(&Line::Definition(DefinitionLine { hash, name, version, body }))
    }

    /// Adds a saga.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn saga(&mut self, row: &SagaRow, journal: &[Transition]) -> io::Result<()> {
        self.sagas += 1;
        let text = |row: &Transition| if self.is_masked { masked(row) } else { as_text(row) };
        let line = SagaLine {
            id: row.id,
            definition_hash: row.definition_hash,
            definition_name: Arc::clone(&row.definition_name),
            business_key: Arc::clone(&row.business_key),
            phase: row.phase.name().to_owned(),
            started_at: row.started_at,
            finished_at: row.finished_at,
            wake_at: row.wake_at,
            error: row.error.as_ref().map(|error| if self.is_masked { masked_error(error) } else { error.clone() }),
            journal: journal.iter().map(text).collect(),
        };
        self.line(&Line::Saga(Box::new(line)))
    }

    /// Ends the file. Returns how many sagas it holds, and its digest.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(mut self) -> io::Result<(u64, Sha256)> {
        let (definitions, sagas, digest) = (self.definitions, self.sagas, self.digest);
        self.line(&Line::End(End { definitions, sagas, digest }))?;
        self.out.flush()?;
        Ok((sagas, digest))
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        let text = serde_json::to_string(line)?;
        self.digest = chained(self.digest, &text);
        writeln!(self.out, "{text}")
    }
}

fn chained(digest: Sha256, line: &str) -> Sha256 {
    Sha256::of(&[digest.as_bytes().as_slice(), line.as_bytes()].concat())
}

fn as_text(row: &Transition) -> String {
    serde_json::to_string(row).expect("facts are plain data")
}

/// The row with every text, number and truth value within payloads replaced, and the words of failures. Ids, codes, moments and the names
/// of members are kept.
fn masked(row: &Transition) -> String {
    let text = as_text(row);
    let Ok(mut value) = serde_json::from_str(&text) else { return masked_unread(&text) };
    mask_payloads(&mut value);
    value.to_string()
}

/// A row with a number in it that is none to us, such as 1e999: its payloads are replaced without a look into them.
fn masked_unread(text: &str) -> String {
    let (is_object, is_array) = (text.starts_with('{'), text.starts_with('['));
    let parts = |parts: Vec<String>| parts.join(",");
    if is_object {
        let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).expect("it was written as JSON");
        let member = |name: &str, value: &str| {
            let masks = is_masked(name) && value != "null";
            let value = if masks { Value::from(MASK).to_string() } else { masked_unread(value) };
            format!("{}:{value}", Value::from(name))
        };
        return format!("{{{}}}", parts(members.iter().map(|(name, value)| member(name, value.get())).collect()));
    }
    if is_array {
        let items: Vec<Box<RawValue>> = serde_json::from_str(text).expect("it was written as JSON");
        return format!("[{}]", parts(items.iter().map(|item| masked_unread(item.get())).collect()));
    }
    text.to_owned()
}

/// What holds a payload, or words that may quote one.
fn is_masked(member: &str) -> bool {
    matches!(member, "data" | "reply" | "message")
}

/// What the row says of what went wrong, without its words.
fn masked_error(error: &str) -> String {
    let mut value = serde_json::from_str(error).unwrap_or(Value::Null);
    mask_payloads(&mut value);
    value.to_string()
}

fn mask_payloads(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if is_masked(name) { mask(member) } else { mask_payloads(member) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_payloads),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Bool(truth) => *truth = false,
        Value::Number(number) => *number = 0.into(),
        Value::String(text) => MASK.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(members) => members.iter_mut().for_each(|(_, member)| mask(member)),
    }
}

/// Reads a file to its end.
///
/// # Errors
/// What is wrong, with its line: not such a file, of a newer version, cut off, changed since it was written.
pub fn read(input: impl BufRead) -> Result<Export, String> {
    let mut lines = input.lines().enumerate().map(|(place, line)| (place + 1, line.map_err(|error| error.to_string())));
    let (mut digest, first) = match lines.next() {
        Some((_, line)) => (Sha256::of(b""), line?),
        None => return Err("it is empty".to_owned()),
    };
    let is_masked = match serde_json::from_str(&first) {
        Ok(Line::Sagabus(head)) if head.version == VERSION => head.is_masked,
        Ok(Line::Sagabus(head)) => {
            return Err(format!("it is of version {}; this one reads version {VERSION}", head.version));
        }
        Ok(_) | Err(_) => return Err("line 1: it was not written by `sagabus replay export`".to_owned()),
    };
    digest = chained(digest, &first);
    let mut export = Export { is_masked, definitions: Vec::new(), sagas: Vec::new() };
    for (place, text) in lines {
        let failed = |error: String| format!("line {place}: {error}");
        let text = text.map_err(failed)?;
        match serde_json::from_str(&text).map_err(|error| failed(error.to_string()))? {
            Line::Sagabus(_) => return Err(failed("a second beginning".to_owned())),
            Line::Definition(DefinitionLine { hash, name, version, body }) => {
                export.definitions.push(DefinitionRow { hash, name, version, body });
            }
            Line::Saga(line) => export.sagas.push(exported(*line).map_err(failed)?),
            Line::End(end) => {
                let is_whole = (end.definitions, end.sagas, end.digest)
                    == (count(&export.definitions), count(&export.sagas), digest);
                return if is_whole { Ok(export) } else { Err("it was changed since it was written".to_owned()) };
            }
        }
        digest = chained(digest, &text);
    }
    Err("it is cut off: its end is missing".to_owned())
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

fn exported(line: SagaLine) -> Result<Exported, String> {
    let phase = Phase::parse(&line.phase).ok_or_else(|| format!("there is no phase {}", line.phase))?;
    let row = |(place, text): (usize, &String)| {
        serde_json::from_str(text).map_err(|error| format!("row {} of saga {}: {error}", place + 1, line.id))
    };
    let journal = line.journal.iter().enumerate().map(row).collect::<Result<Vec<Transition>, String>>()?;
    let row = SagaRow {
        id: line.id,
        definition_hash: line.definition_hash,
        definition_name: line.definition_name,
        business_key: line.business_key,
        phase,
        started_at: line.started_at,
        finished_at: line.finished_at,
        wake_at: line.wake_at,
        error: line.error,
    };
    Ok(Exported { row, journal })
}
