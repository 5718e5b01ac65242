//! Records put aside, as people look at them and send them down the line again.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::core::{Timestamp, Verdict};

use super::super::ParkedMessage;
use super::console::{Console, ConsoleError, failed};
use super::rows::{moment, timestamp};

const PARKED_MESSAGE_SELECT: &str = include_str!("sql/parked_message_select.sql");
const PARKED_MESSAGE_SELECT_KNOWN: &str = include_str!("sql/parked_message_select_known.sql");
const PARKED_MESSAGE_SELECT_PLACE: &str = include_str!("sql/parked_message_select_place.sql");
const PARKED_MESSAGE_SELECT_WHOLE: &str = include_str!("sql/parked_message_select_whole.sql");
const PARKED_MESSAGE_UPDATE_DISCARDED: &str = include_str!("sql/parked_message_update_discarded.sql");
const REDRIVE_INSERT: &str = include_str!("sql/redrive_insert.sql");
const REDRIVE_INSERT_READ: &str = include_str!("sql/redrive_insert_read.sql");
const REDRIVE_SELECT: &str = include_str!("sql/redrive_select.sql");
const REDRIVE_SELECT_MESSAGE: &str = include_str!("sql/redrive_select_message.sql");

/// Whether a record that was put aside waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkedState {
    /// It does.
    Parked,
    /// It entered the line again, and was not put aside again.
    Redriven,
    /// A person said that it need not be looked at.
    Discarded,
}

impl ParkedState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Parked, Self::Redriven, Self::Discarded];

    /// The name that Postgres stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
        }
    }

    /// The state that Postgres calls `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A record put aside, in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedParked {
    /// Its number.
    pub id: i64,
    /// Where it was read.
    pub topic: String,
    /// See `topic`.
    pub partition: i32,
    /// See `topic`.
    pub offset: i64,
    /// Verdict, code and what is wrong.
    pub reason: String,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// When it was put aside.
    pub parked_at: Timestamp,
    /// Whether it waits.
    pub state: ParkedState,
}

/// Which records put aside: those for which everything that is said here is true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParkedFilter {
    /// Whether they wait.
    pub state: Option<ParkedState>,
    /// Where they were read.
    pub topic: Option<String>,
    /// Their key.
    pub key: Option<String>,
    /// How their reason begins.
    pub reason_prefix: Option<String>,
    /// The code in their reason, such as `trigger-data`.
    pub code: Option<String>,
    /// Put aside then or later.
    pub parked_after: Option<Timestamp>,
    /// Put aside earlier.
    pub parked_before: Option<Timestamp>,
    /// With a number below: where the page before it ended.
    pub before: Option<i64>,
}

/// A record put aside, with everything that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedParked {
    /// Its number.
    pub id: i64,
    /// The record.
    pub message: ParkedMessage,
    /// When it was put aside.
    pub parked_at: Timestamp,
    /// What keeps it from entering the line again.
    pub standing: Standing,
}

/// What keeps a record that was put aside from entering the line again, or may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it waits.
    pub state: ParkedState,
    /// False where only the beginning of the record is there.
    pub is_whole: bool,
    /// How often it was asked to enter the line again.
    pub redrives: u64,
    /// It is asked for, and nobody has judged it yet.
    pub is_asked: bool,
    /// An earlier record of the same key and partition that waits and is not asked for together with it.
    pub earlier: Option<i64>,
}

/// A record that a person sends down the line again: what was put aside, or what the person made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRedrive {
    /// The request's id.
    pub id: Uuid,
    /// What was put aside.
    pub message_id: i64,
    /// False where only the beginning of the record is there.
    pub is_whole: bool,
    /// The value to judge.
    pub value: Option<Vec<u8>>,
    /// The headers to judge, as `wire::Record::kept_headers` writes them.
    pub headers: String,
}

/// A record that entered the line again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedRedrive {
    /// The request's id.
    pub id: Uuid,
    /// What was put aside.
    pub message_id: Option<i64>,
    /// How it ended this time.
    pub verdict: Verdict,
    /// What was said against it.
    pub message: Option<String>,
    /// What was put aside still waits.
    pub stays_parked: bool,
}

/// One time that a record was asked to enter the line again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRedrive {
    /// `redrive`, `edit` or `bind`.
    pub verb: String,
    /// Who asked.
    pub who: String,
    /// Why.
    pub reason: String,
    /// When.
    pub requested_at: Timestamp,
    /// How it ended; `None` while nobody has judged it.
    pub verdict: Option<Verdict>,
    /// What was said against it.
    pub message: Option<String>,
}

type ParkedColumns = (i64, String, i32, i64, String, Option<Vec<u8>>, DateTime<Utc>, String);

fn listed((id, topic, partition, offset, reason, key, at, state): ParkedColumns) -> ListedParked {
    let state = ParkedState::parse(&state).unwrap_or(ParkedState::Parked);
    ListedParked { id, topic, partition, offset, reason, key, parked_at: timestamp(at), state }
}

fn verdict(name: Option<String>) -> Option<Verdict> {
    Verdict::ALL.into_iter().find(|verdict| Some(verdict.name()) == name.as_deref())
}

impl Console {
    /// Records put aside, newest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn parked(&self, filter: &ParkedFilter, limit: usize) -> Result<Vec<ListedParked>, ConsoleError> {
        let query = sqlx::query_as(PARKED_MESSAGE_SELECT)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(filter.state.map(ParkedState::name))
            .bind(filter.topic.as_deref())
            .bind(filter.key.as_deref().map(str::as_bytes))
            .bind(filter.reason_prefix.as_deref())
            .bind(filter.before.unwrap_or(i64::MAX))
            .bind(filter.code.as_deref())
            .bind(filter.parked_after.map(moment))
            .bind(filter.parked_before.map(moment));
        let found: Vec<ParkedColumns> = query.fetch_all(&self.pool).await.map_err(failed("list parked messages"))?;
        Ok(found.into_iter().map(listed).collect())
    }

    /// Records put aside that were read at this place.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn parked_at(&self, topic: &str, partition: i32, offset: i64) -> Result<Vec<ListedParked>, ConsoleError> {
        let query = sqlx::query_as(PARKED_MESSAGE_SELECT_PLACE).bind(topic).bind(partition).bind(offset);
        let found: Vec<ParkedColumns> = query.fetch_all(&self.pool).await.map_err(failed("find a parked message"))?;
        Ok(found.into_iter().map(listed).collect())
    }

    /// Those of these records that were put aside, whatever became of them.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn known_parked(&self, ids: &[i64]) -> Result<Vec<i64>, ConsoleError> {
        let query = sqlx::query_scalar(PARKED_MESSAGE_SELECT_KNOWN).bind(ids);
        query.fetch_all(&self.pool).await.map_err(failed("look for parked messages"))
    }

    /// These records put aside, with everything that was kept of them, in the order of their logs. What is not there is left out.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn open_parked(&self, ids: &[i64]) -> Result<Vec<OpenedParked>, ConsoleError> {
        let query = sqlx::query_as(PARKED_MESSAGE_SELECT_WHOLE).bind(ids);
        let found: Vec<WholeRow> = query.fetch_all(&self.pool).await.map_err(failed("read parked messages"))?;
        Ok(found.into_iter().map(opened).collect())
    }

    /// How often a record was asked to enter the line again, and how that ended.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn past_redrives(&self, message_id: i64) -> Result<Vec<PastRedrive>, ConsoleError> {
        type Columns = (String, String, String, DateTime<Utc>, Option<String>, Option<String>);
        let query = sqlx::query_as(REDRIVE_SELECT_MESSAGE).bind(message_id);
        let found: Vec<Columns> = query.fetch_all(&self.pool).await.map_err(failed("read redrives"))?;
        let past = |(verb, who, reason, at, name, message): Columns| PastRedrive {
            verb,
            who,
            reason,
            requested_at: timestamp(at),
            verdict: verdict(name),
            message,
        };
        Ok(found.into_iter().map(past).collect())
    }

    /// Asks the engines to judge records again. Returns those requests that were taken: what is not parked any more is left out.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn redrive(
        &self,
        redrives: &[NewRedrive],
        verb: &str,
        who: &str,
        reason: &str,
    ) -> Result<Vec<Uuid>, ConsoleError> {
        let query = sqlx::query_as(REDRIVE_INSERT)
            .bind(redrives.iter().map(|one| one.id).collect::<Vec<Uuid>>())
            .bind(redrives.iter().map(|one| one.message_id).collect::<Vec<i64>>())
            .bind(redrives.iter().map(|one| one.is_whole).collect::<Vec<bool>>())
            .bind(redrives.iter().map(|one| one.value.as_deref()).collect::<Vec<Option<&[u8]>>>())
            .bind(redrives.iter().map(|one| one.headers.as_bytes()).collect::<Vec<&[u8]>>())
            .bind(verb)
            .bind(who)
            .bind(reason);
        let taken: Vec<(Uuid,)> = query.fetch_all(&self.pool).await.map_err(failed("ask for a redrive"))?;
        Ok(taken.into_iter().map(|(id,)| id).collect())
    }

    /// Asks the engines to judge records of a log as if they were read now.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn redrive_read(
        &self,
        records: &[(Uuid, ParkedMessage)],
        who: &str,
        reason: &str,
    ) -> Result<(), ConsoleError> {
        let messages = || records.iter().map(|(_, message)| message);
        let query = sqlx::query(REDRIVE_INSERT_READ)
            .bind(records.iter().map(|(id, _)| *id).collect::<Vec<Uuid>>())
            .bind(messages().map(|message| &*message.topic).collect::<Vec<&str>>())
            .bind(messages().map(|message| message.partition).collect::<Vec<i32>>())
            .bind(messages().map(|message| message.offset).collect::<Vec<i64>>())
            .bind(messages().map(|message| moment(message.written_at)).collect::<Vec<DateTime<Utc>>>())
            .bind(messages().map(|message| message.is_whole).collect::<Vec<bool>>())
            .bind(messages().map(|message| message.key.as_deref()).collect::<Vec<Option<&[u8]>>>())
            .bind(messages().map(|message| message.value.as_deref()).collect::<Vec<Option<&[u8]>>>())
            .bind(messages().map(|message| message.headers.as_bytes()).collect::<Vec<&[u8]>>())
            .bind(who)
            .bind(reason);
        query.execute(&self.pool).await.map(|_| ()).map_err(failed("ask for a redrive"))
    }

    /// What became of these requests: those that were judged.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn redriven(&self, ids: &[Uuid]) -> Result<Vec<JudgedRedrive>, ConsoleError> {
        type Columns = (Uuid, Option<i64>, Option<String>, Option<String>, bool);
        let query = sqlx::query_as(REDRIVE_SELECT).bind(ids);
        let found: Vec<Columns> = query.fetch_all(&self.pool).await.map_err(failed("look after redrives"))?;
        let judged = |(id, message_id, name, message, stays_parked): Columns| {
            Some(JudgedRedrive { id, message_id, verdict: verdict(name)?, message, stays_parked })
        };
        Ok(found.into_iter().filter_map(judged).collect())
    }

    /// Marks records as not to be looked at any more, audited. Returns those that were parked.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn discard_parked(&self, ids: &[i64], who: &str, reason: &str) -> Result<Vec<i64>, ConsoleError> {
        let query = sqlx::query_as(PARKED_MESSAGE_UPDATE_DISCARDED).bind(ids).bind(who).bind(reason);
        let found: Vec<(i64,)> = query.fetch_all(&self.pool).await.map_err(failed("discard parked messages"))?;
        Ok(found.into_iter().map(|(id,)| id).collect())
    }
}

#[derive(sqlx::FromRow)]
struct WholeRow {
    id: i64,
    topic: String,
    partition: i32,
    offset: i64,
    written_at: DateTime<Utc>,
    is_whole: bool,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<u8>,
    reason: String,
    parked_at: DateTime<Utc>,
    state: String,
    redrives: i64,
    is_asked: bool,
    earlier: Option<i64>,
}

fn opened(row: WholeRow) -> OpenedParked {
    let message = ParkedMessage {
        topic: row.topic.into(),
        partition: row.partition,
        offset: row.offset,
        reason: row.reason,
        key: row.key,
        value: row.value,
        headers: String::from_utf8_lossy(&row.headers).into_owned(),
        written_at: timestamp(row.written_at),
        is_whole: row.is_whole,
    };
    OpenedParked {
        id: row.id,
        message,
        parked_at: timestamp(row.parked_at),
        standing: Standing {
            state: ParkedState::parse(&row.state).unwrap_or(ParkedState::Parked),
            is_whole: row.is_whole,
            redrives: row.redrives.unsigned_abs(),
            is_asked: row.is_asked,
            earlier: row.earlier,
        },
    }
}
