//! Which sagas moved on, for those who follow: each row of the journal once, across engines, from any point of the last hours.
//!
//! A row may become visible after one that was written later, so a moment is no place to go on from. Rows are told by the transactions
//! that wrote them: a horizon is a number below which every transaction has ended, and between two horizons lies a set of rows that
//! cannot grow any more. It is found by the rows' time (an engine's statement ends within seconds, so a row of an open transaction is
//! hardly older than the horizon), and told in the order of their time. What bounds it: a row is told once every transaction of the
//! cluster that was open when it was committed has ended.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{Sha256, Timestamp};
use crate::store::{ChangedRow, Console, Horizon, Stretch};

use super::failure::{Exit, Failure};
use super::moments::Moment;

/// A row of a transaction that was open at a horizon is at most so much older: an engine's statement ends after 5 s, and a clock may
/// have been set.
const OPEN_MS: u64 = 15_000;
/// So much of the journal's time is looked through at once.
const STRETCH_MS: u64 = 120_000;
/// How far back somebody may go on. Transactions wear their numbers for far longer than that.
const BACK_MS: u64 = 6 * 3_600_000;
/// Rows of one look.
const ROWS: usize = 1_000;

/// A saga moved on, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeJson {
    /// The saga.
    pub saga_id: Uuid,
    /// Its definition's name.
    pub definition: String,
    /// The new row of its journal.
    pub seq: u32,
    /// Where it stands as this is sent: as of this row, or of a later one.
    pub phase: &'static str,
    /// When the row was written.
    pub at: Moment,
}

/// Where somebody who follows stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Whose history it is.
    epoch: [u8; 4],
    /// Everything below is told, ...
    from: Horizon,
    /// ... and of what is below this one, ...
    to: Horizon,
    /// ... the rows up to this one.
    after: (Timestamp, Uuid, u32),
}

/// How it goes on with somebody who says where they stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// From there.
    GoesOn(Follower),
    /// From now, since nobody can say any more what they have missed, and why.
    Anew(Follower, &'static str),
}

fn epoch_of(text: &str) -> [u8; 4] {
    let digest = Sha256::of(text.as_bytes());
    let [a, b, c, d, ..] = *digest.as_bytes();
    [a, b, c, d]
}

impl Follower {
    /// Begins now.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn begin(console: &Console) -> Result<Self, Failure> {
        let (now, whose) = console.horizon().await?;
        Ok(Self::at(epoch_of(&whose), now))
    }

    fn at(epoch: [u8; 4], here: Horizon) -> Self {
        Self { epoch, from: here, to: here, after: (end_of(here), Uuid::nil(), 0) }
    }

    /// Goes on where `text`, an id that was sent before, stands.
    ///
    /// # Errors
    /// It is no such id (exit 2), or the database does not answer.
    pub async fn join(console: &Console, text: &str) -> Result<Joined, Failure> {
        let stood = Self::parse(text).ok_or_else(|| {
            Failure::new(Exit::Usage, "Last-Event-ID: this is none that was sent", "begin without one")
        })?;
        let (now, whose) = console.horizon().await?;
        let epoch = epoch_of(&whose);
        let anew = |why| Ok(Joined::Anew(Self::at(epoch, now), why));
        if stood.epoch != epoch || now.transaction < stood.to.transaction {
            return anew("the database was restored or another server took its place");
        }
        if now.at.millis_since(stood.from.at) > BACK_MS {
            return anew("it was too long ago");
        }
        Ok(Joined::GoesOn(stood))
    }

    /// Looks for rows that are not told yet. Returns them with what to say where they stand then; some are returned as empty stretches.
    /// True: there may be more at once.
    ///
    /// # Errors
    /// The database does not answer: where one stands is the same as before.
    pub async fn look(&mut self, console: &Console) -> Result<(Vec<ChangedRow>, bool), Failure> {
        if self.after.0 >= end_of(self.to) {
            let (now, whose) = console.horizon().await?;
            if epoch_of(&whose) != self.epoch || now.transaction < self.to.transaction {
                let hint = "connect anew";
                return Err(Failure::new(Exit::Unreachable, "another server took the database's place", hint));
            }
            if now.transaction == self.to.transaction {
                // The moment stays: what an open transaction holds back was written since.
                return Ok((Vec::new(), false));
            }
            (self.from, self.to) = (self.to, now);
            self.after = (minus_millis(self.from.at, OPEN_MS), Uuid::nil(), 0);
        }
        let until = self.after.0.plus_millis(STRETCH_MS).min(end_of(self.to));
        let stretch = Stretch { from: self.from.transaction, to: self.to.transaction, after: self.after, until };
        let rows = console.changes(&stretch, ROWS).await?;
        self.after = match rows.last() {
            Some(last) if rows.len() == ROWS => (last.at, last.saga_id, last.seq),
            Some(_) | None => (until, Uuid::nil(), 0),
        };
        let is_more = self.after.0 < end_of(self.to);
        Ok((rows, is_more))
    }

    /// Where one stands having heard of everything up to `row`.
    pub fn id_at(&self, row: &ChangedRow) -> String {
        Self { after: (row.at, row.saga_id, row.seq), ..self.clone() }.id()
    }

    /// Where one stands, as text that `join` reads.
    pub fn id(&self) -> String {
        let mut bytes = self.epoch.to_vec();
        for horizon in [self.from, self.to] {
            bytes.extend(horizon.transaction.to_be_bytes());
            bytes.extend(horizon.at.micros().to_be_bytes());
        }
        bytes.extend(self.after.0.micros().to_be_bytes());
        bytes.extend(self.after.1.as_bytes());
        bytes.extend(self.after.2.to_be_bytes());
        const_hex::encode(bytes)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0_u8; 64];
        if text.len() != 128 || const_hex::decode_to_slice(text, &mut bytes).is_err() {
            return None;
        }
        let number = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let horizon = |at: usize| Horizon { transaction: number(at), at: Timestamp::from_micros(number(at + 8)) };
        let follower = Self {
            epoch: bytes[..4].try_into().expect("4 bytes"),
            from: horizon(4),
            to: horizon(20),
            after: (
                Timestamp::from_micros(number(36)),
                Uuid::from_bytes(bytes[44..60].try_into().expect("16 bytes")),
                u32::from_be_bytes(bytes[60..].try_into().expect("4 bytes")),
            ),
        };
        // Numbers that no server has sent.
        let is_possible = follower.from.transaction >= 0
            && follower.from.transaction <= follower.to.transaction
            && follower.from.at <= follower.to.at
            && follower.after.0 <= end_of(follower.to);
        is_possible.then_some(follower)
    }
}

/// Nothing below a horizon was written later: its moment, and a clock that was set back.
fn end_of(horizon: Horizon) -> Timestamp {
    horizon.at.plus_millis(OPEN_MS)
}

fn minus_millis(at: Timestamp, millis: u64) -> Timestamp {
    Timestamp::from_micros(at.micros().saturating_sub(i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000)))
}

/// A row as programs read it.
pub fn change_json(row: &ChangedRow) -> ChangeJson {
    let (definition, at) = (row.definition.clone(), Moment(row.at));
    ChangeJson { saga_id: row.saga_id, definition, seq: row.seq, phase: row.phase.name(), at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_stands_is_text_and_back() {
        let horizon = |transaction, millis| Horizon { transaction, at: Timestamp::from_millis(millis) };
        let follower = Follower {
            epoch: [1, 2, 3, 4],
            from: horizon(5, 6),
            to: horizon(7, 800),
            after: (Timestamp::from_millis(9), Uuid::from_u128(10), 11),
        };
        assert_eq!(Follower::parse(&follower.id()), Some(follower.clone()));
        for wrong in ["", "7", &follower.id()[2..], &follower.id().replace('0', "g")] {
            assert_eq!(Follower::parse(wrong), None, "{wrong}");
        }
        let backwards = Follower { to: horizon(4, 800), ..follower };
        assert_eq!(Follower::parse(&backwards.id()), None);
    }
}
