//! `audit list|export`: who did what, and who was not let.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::Sha256;
use crate::store::{AuditRow, Console, Head};

use super::failure::Failure;
use super::moments::Moment;
use super::pages::{Page, PageToken};

/// Entries that one statement reads.
const PAGE: usize = 1_000;

/// An entry of the audit, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditJson {
    /// Its number; they have holes.
    pub id: i64,
    /// When it was written.
    pub at: Moment,
    /// Who: a user of the machine, `token:NAME`, or `local`.
    pub who: String,
    /// What was asked.
    pub verb: String,
    /// Of whom: a saga's id, a partition, a token, a path.
    pub target: String,
    /// Why.
    pub reason: String,
    /// `decided`, `refused`, `unknown` (there was no such saga) or `denied`.
    pub outcome: String,
    /// What there is to say of the outcome.
    pub message: Option<String>,
    /// The saga's journal before.
    pub seq_before: Option<i32>,
    /// The saga's journal after.
    pub seq_after: Option<i32>,
    /// Its place in the hash chain; null as long as it has none.
    pub place: Option<i64>,
    /// The hash of its place: 64 hexadecimal digits.
    #[schema(value_type = Option<String>)]
    pub hash: Option<Sha256>,
}

fn audit_json((row, head): (AuditRow, Option<Head>)) -> AuditJson {
    let entry = row.entry;
    AuditJson {
        id: row.id,
        at: Moment(row.at),
        who: entry.who,
        verb: entry.verb,
        target: entry.target,
        reason: entry.reason,
        outcome: entry.outcome,
        message: entry.message,
        seq_before: row.seq_before,
        seq_after: row.seq_after,
        place: head.map(|head| head.place),
        hash: head.map(|head| head.hash),
    }
}

/// Entries, newest first, and whether the list is cut.
///
/// # Errors
/// The database does not answer.
pub async fn audit(console: &Console, limit: usize) -> Result<(Vec<AuditJson>, bool), Failure> {
    let mut found = console.audit(i64::MAX, limit.saturating_add(1)).await?;
    let is_cut = found.len() > limit;
    found.truncate(limit);
    Ok((found.into_iter().map(audit_json).collect(), is_cut))
}

/// A page of entries, newest first.
///
/// # Errors
/// The database does not answer, or the token is of another list (exit 2).
pub async fn audit_page(console: &Console, size: usize, token: Option<&str>) -> Result<Page<AuditJson>, Failure> {
    let here = PageToken::begin("audit", crate::engine::wall_clock()).go_on(token)?;
    let found = console.audit(here.number().unwrap_or(i64::MAX), size.saturating_add(1)).await?;
    Ok(Page::of(found, size, |last| here.after_number(last.0.id)).map(audit_json))
}

/// Every entry that has a place, in the order of the places: with the hashes, so that others can go along the chain without this
/// database. Returns how many.
///
/// # Errors
/// The database does not answer.
pub async fn export_audit(console: &Console, mut each: impl FnMut(&AuditJson)) -> Result<u64, Failure> {
    let (mut place, mut count) = (0, 0);
    loop {
        let page = console.chain(place, PAGE).await?;
        let Some(last) = page.last() else { return Ok(count) };
        place = last.head.place;
        for link in page {
            // What is not there any more is told by `audit verify`, and shows by its place here.
            let Some(row) = link.row else { continue };
            each(&audit_json((row, Some(link.head))));
            count += 1;
        }
    }
}
