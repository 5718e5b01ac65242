//! Records put aside: looked at, made right, sent down the line again. An engine judges them, as it judges what it reads.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{Action, Wait, command_id, command_named, outstanding};
use crate::definition::MASKED;
use crate::engine::Reading;
use crate::store::{
    Console, JudgedRedrive, ListedParked, NewRedrive, OpenedParked, ParkedFilter, ParkedMessage, PastRedrive,
};
use crate::wire::{KeptHeader, KeptValue, Record, RecordHead};

use super::dry_run::check_step;
use super::failure::{Exit, Failure};
use super::moments::Moment;
use super::obstacle::Obstacle;
use super::opened::{Opened, open, reader};
use super::pages::{Page, PageToken};
use super::sight::{Sight, is_masked_topic};
use super::words::{Word, maybe_word, word};

/// How long the command waits for an engine to judge.
const WAIT: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);

/// A parked message, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParkedJson {
    /// Its number.
    pub id: i64,
    /// Where it was read.
    pub topic: String,
    /// See `topic`.
    pub partition: i32,
    /// See `topic`.
    pub offset: i64,
    /// Begins with the verdict.
    pub reason: String,
    /// Its key; bytes that are not text are escaped.
    pub key: Option<String>,
    /// RFC 3339.
    pub parked_at: Moment,
    /// `parked`, `redriven` or `discarded`.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub state: Word,
}

/// A parked message with everything that was kept of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParkedShown {
    /// As in a list.
    #[serde(flatten)]
    pub listed: ParkedJson,
    /// The record's own timestamp.
    pub written_at: Moment,
    /// False where a record over the limits was cut.
    pub is_whole: bool,
    /// Its headers, `[name, value]` each, a value that is not text as `{"hex": digits}`; null where they cannot be read.
    #[schema(value_type = Option<Vec<Vec<serde_json::Value>>>)]
    pub headers: Option<Vec<KeptHeader>>,
    /// Its value; bytes that are not text are escaped.
    pub value: Option<String>,
    /// How often it entered the line again, and how that ended.
    pub redrives: Vec<RedriveJson>,
}

/// One time that a message entered the line again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedriveJson {
    /// `redrive`, `edit` or `bind`.
    pub verb: String,
    /// Who asked.
    pub who: String,
    /// Why.
    pub reason: String,
    /// RFC 3339.
    pub requested_at: Moment,
    /// How it ended; null while nobody has judged it.
    #[serde(deserialize_with = "maybe_word")]
    #[schema(value_type = Option<String>)]
    pub verdict: Option<Word>,
    /// What was said against it.
    pub message: Option<String>,
}

/// What became of a message that entered the line again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedrivenJson {
    /// The parked message.
    pub id: i64,
    /// How it ended this time.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub verdict: Word,
    /// What is said against it.
    pub message: Option<String>,
    /// It would be put aside again, and stays parked.
    pub stays_parked: bool,
}

/// What a person makes of a message before it is judged again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Another value.
    pub value: Option<Vec<u8>>,
    /// Headers that are set; without a value: removed.
    pub headers: Vec<(String, Option<String>)>,
}

impl Edit {
    /// What makes an answer out of an orphan: the command of this step that the saga waits for.
    ///
    /// # Errors
    /// There is no such step (exit 2), or it waits for no answer (exit 4).
    pub fn bind(opened: &Opened, step: &str) -> Result<Self, Failure> {
        check_step(opened.definition(), step)?;
        let is_asked = |(at, ..): &(_, Action, u16)| &*opened.definition().step(*at).name == step;
        let (at, action, attempt) = outstanding(&opened.saga).find(is_asked).ok_or_else(|| {
            let hint = "sagabus explain shows what it waits for";
            Failure::new(Exit::Refused, format!("step {step} of saga {} waits for no answer", opened.saga.id), hint)
        })?;
        let command = command_id(opened.saga.id, at, action, attempt);
        let header = |name: &str, id: Uuid| (name.to_owned(), Some(id.to_string()));
        Ok(Self {
            value: None,
            headers: vec![header("ce_correlationid", opened.saga.id), header("ce_causationid", command)],
        })
    }

    /// The message as it is to be judged.
    fn apply(&self, opened: &OpenedParked, id: Uuid) -> Result<NewRedrive, Failure> {
        let message = &opened.message;
        let mut headers = message.headers.clone();
        if !self.headers.is_empty() {
            let kept = kept_headers(&message.headers).ok_or_else(|| {
                Failure::new(Exit::Refused, format!("the headers of parked message {} cannot be read", opened.id), "")
            })?;
            let is_edited = |KeptHeader(name, _): &KeptHeader| self.headers.iter().any(|(edited, _)| edited == name);
            let set = self.headers.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let set = set.map(|(name, value)| KeptHeader(name.clone(), Some(KeptValue::Text(value.clone()))));
            let edited: Vec<KeptHeader> = kept.into_iter().filter(|kept| !is_edited(kept)).chain(set).collect();
            headers = serde_json::to_string(&edited).expect("headers are plain data");
        }
        Ok(NewRedrive {
            id,
            message_id: opened.id,
            is_whole: message.is_whole || self.value.is_some(),
            value: self.value.clone().or_else(|| message.value.clone()),
            headers,
        })
    }
}

fn kept_headers(text: &str) -> Option<Vec<KeptHeader>> {
    serde_json::from_str(text).ok()
}

/// Records put aside, newest first, and whether the list is cut.
///
/// # Errors
/// The database does not answer.
pub async fn parked(
    console: &Console,
    filter: &ParkedFilter,
    limit: usize,
) -> Result<(Vec<ParkedJson>, bool), Failure> {
    let mut found = console.parked(filter, limit.saturating_add(1)).await?;
    let is_cut = found.len() > limit;
    found.truncate(limit);
    Ok((found.into_iter().map(parked_json).collect(), is_cut))
}

/// A page of the records put aside that fit, newest first.
///
/// # Errors
/// The database does not answer, or the token is of another list (exit 2).
pub async fn parked_page(
    console: &Console,
    filter: ParkedFilter,
    size: usize,
    token: Option<&str>,
) -> Result<Page<ParkedJson>, Failure> {
    let here = PageToken::begin(&format!("{filter:?}"), crate::engine::wall_clock()).go_on(token)?;
    let filter = ParkedFilter { before: here.number(), ..filter };
    let found = console.parked(&filter, size.saturating_add(1)).await?;
    Ok(Page::of(found, size, |last| here.after_number(last.id)).map(parked_json))
}

pub(super) fn parked_json(parked: ListedParked) -> ParkedJson {
    ParkedJson {
        id: parked.id,
        topic: parked.topic,
        partition: parked.partition,
        offset: parked.offset,
        reason: parked.reason,
        key: parked.key.map(|key| key.escape_ascii().to_string()),
        parked_at: Moment(parked.parked_at),
        state: parked.state.name(),
    }
}

/// One message, with its past. Its value is masked as a whole where a definition of its topic masks anything: it was put aside because it
/// is not what it should be, so nobody can say what stands where.
///
/// # Errors
/// It is not there (exit 3), or the database does not answer.
pub async fn show_parked(console: &Console, id: i64, sight: Sight) -> Result<ParkedShown, Failure> {
    let OpenedParked { message, parked_at, standing, .. } =
        console.open_parked(&[id]).await?.pop().ok_or_else(|| not_there(id))?;
    let past = |past: PastRedrive| RedriveJson {
        verb: past.verb,
        who: past.who,
        reason: past.reason,
        requested_at: Moment(past.requested_at),
        verdict: past.verdict.map(crate::core::Verdict::name),
        message: past.message,
    };
    let text =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_else(|error| error.as_bytes().escape_ascii().to_string());
    let is_masked = sight == Sight::Masked && is_masked_topic(console, Some(&message.topic)).await?;
    let value = message.value.map(|value| if is_masked { MASKED.to_owned() } else { text(value) });
    let listed = ListedParked {
        id,
        topic: message.topic.to_string(),
        partition: message.partition,
        offset: message.offset,
        reason: message.reason,
        key: message.key,
        parked_at,
        state: standing.state,
    };
    Ok(ParkedShown {
        listed: parked_json(listed),
        written_at: Moment(message.written_at),
        is_whole: message.is_whole,
        headers: kept_headers(&message.headers),
        value,
        redrives: console.past_redrives(id).await?.into_iter().map(past).collect(),
    })
}

fn not_there(id: i64) -> Failure {
    Failure::new(Exit::NotFound, format!("there is no parked message {id}"), "sagabus parked list shows the newest")
}

/// What `redrive` would refuse.
///
/// # Errors
/// As `redrive`.
pub async fn check_redrive(console: &Console, ids: &[i64], edit: &Edit, force: bool) -> Result<(), Failure> {
    checked(console, ids, edit, force).await.map(|_| ())
}

/// What a person makes of a record approves nothing: that needs a right of its own.
async fn approves_nothing(console: &Console, opened: &[OpenedParked], edit: &Edit) -> Result<(), Failure> {
    if *edit == Edit::default() {
        return Ok(());
    }
    let reader = reader(console).await?;
    for one in opened {
        let edited = edit.apply(one, Uuid::nil())?;
        let ParkedMessage { topic, partition, offset, written_at, key, .. } = &one.message;
        let head =
            RecordHead { topic: Arc::clone(topic), partition: *partition, offset: *offset, timestamp: *written_at };
        let record = Record::restore(head, key.as_deref(), edited.value.as_deref(), &edited.headers);
        let Ok(Reading::Answer { saga, command }) = record.map(|record| reader.read(&record)) else { continue };
        let (Some(target), Ok(opened)) = (command_named(saga, command), open(console, saga).await) else { continue };
        let step = opened.definition().steps.get(target.step.at());
        if let Some(step) = step.filter(|step| step.waits == Some(Wait::Approval)) {
            let message = format!("step {} of saga {saga} waits for an approval", step.name);
            return Err(Failure::new(Exit::Refused, message, "use sagabus approve or reject"));
        }
    }
    Ok(())
}

async fn checked(console: &Console, ids: &[i64], edit: &Edit, force: bool) -> Result<Vec<OpenedParked>, Failure> {
    let opened = console.open_parked(ids).await?;
    all_there(ids, &opened.iter().map(|opened| opened.id).collect::<Vec<_>>())?;
    let obstacle =
        |opened: &OpenedParked| Some((opened.id, Obstacle::of(opened.standing, edit.value.is_some(), force)?));
    match opened.iter().find_map(obstacle) {
        None => approves_nothing(console, &opened, edit).await.map(|()| opened),
        Some((id, obstacle)) => Err(obstacle.refuses(id)),
    }
}

/// Sends messages down the line again, in the order of their logs, and waits until an engine has judged them.
///
/// # Errors
/// One is not there (exit 3) or may not (4), and then none is sent; nobody judged in time (6).
pub async fn redrive(
    console: &Console,
    ids: &[i64],
    (verb, edit): (&str, &Edit),
    (who, reason): (&str, &str),
    force: bool,
) -> Result<Vec<RedrivenJson>, Failure> {
    let opened = checked(console, ids, edit, force).await?;
    send(console, &opened, (verb, edit), (who, reason)).await
}

/// Sends messages down the line that nothing keeps, and waits until an engine has judged them.
pub(super) async fn send(
    console: &Console,
    opened: &[OpenedParked],
    (verb, edit): (&str, &Edit),
    (who, reason): (&str, &str),
) -> Result<Vec<RedrivenJson>, Failure> {
    let moment = crate::engine::wall_clock().micros();
    let name = |id: i64| format!("{verb} {who} {id} {} {moment}", std::process::id());
    let id = |opened: &OpenedParked| Uuid::new_v5(&Uuid::NAMESPACE_OID, name(opened.id).as_bytes());
    let redrives: Vec<NewRedrive> =
        opened.iter().map(|opened| edit.apply(opened, id(opened))).collect::<Result<_, _>>()?;
    let asked = console.redrive(&redrives, verb, who, reason).await?;
    let json = |one: JudgedRedrive| RedrivenJson {
        id: one.message_id.unwrap_or_default(),
        verdict: one.verdict.name(),
        message: one.message,
        stays_parked: one.stays_parked,
    };
    Ok(judged(console, &asked, WAIT).await?.into_iter().map(json).collect())
}

/// What engines made of what was asked for, once they have judged all of it.
pub(super) async fn judged(
    console: &Console,
    asked: &[Uuid],
    at_most: Duration,
) -> Result<Vec<JudgedRedrive>, Failure> {
    let until = Instant::now() + at_most;
    loop {
        let judged = console.redriven(asked).await?;
        if judged.len() == asked.len() {
            return Ok(judged);
        }
        if Instant::now() >= until {
            let hint =
                "is a sagabus serve running on this database? what is asked for stays so, and is judged when one is";
            let message = format!(
                "{} of {} were not judged within {} s",
                asked.len() - judged.len(),
                asked.len(),
                at_most.as_secs()
            );
            return Err(Failure::new(Exit::Unreachable, message, hint));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What `discard` would refuse.
///
/// # Errors
/// As `discard`.
pub(super) async fn check_discard(console: &Console, ids: &[i64]) -> Result<(), Failure> {
    all_there(ids, &console.known_parked(ids).await?)
}

/// One that is not there is a typing error.
fn all_there(ids: &[i64], known: &[i64]) -> Result<(), Failure> {
    let missing = ids.iter().find(|id| !known.contains(id));
    missing.map_or(Ok(()), |id| Err(not_there(*id)))
}

/// Marks messages as not to be looked at any more. They are kept. Returns those that were parked.
///
/// # Errors
/// One is not there (exit 3), and then none is marked; or the database does not answer.
pub async fn discard(console: &Console, ids: &[i64], who: &str, reason: &str) -> Result<Vec<i64>, Failure> {
    check_discard(console, ids).await?;
    Ok(console.discard_parked(ids, who, reason).await?)
}
