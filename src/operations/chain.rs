//! The hash chain over the audit: it shows whether an entry was changed, taken away or slipped in after it got its place.
//!
//! Entries are written by whoever writes them (an engine's batch statement above all) and get their places afterwards, by one short
//! statement every few seconds beside each engine: nobody who writes waits for the chain. An entry is ready for its place when every
//! transaction that began before it has ended, so none can turn up in front of it. The one chain is kept by the key of its places.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::core::{Sha256, Timestamp};
use crate::store::{AuditRow, Console, Head, Sealed};

use super::failure::Failure;
use super::moments::Moment;

/// How often entries get their places.
const SEAL_EVERY: Duration = Duration::from_secs(5);
/// Entries that one statement seals, and links that one statement reads.
const PAGE: usize = 1_000;
/// An entry that says to be older than one in front of it by more than this was not written when it says.
const BELATED_MS: u64 = 60_000;

/// A place in the chain and its hash: whoever keeps it elsewhere can tell a chain that was cut off or made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeadJson {
    /// From 1; 0: nothing is sealed.
    pub place: i64,
    /// 64 hexadecimal digits.
    #[schema(value_type = String)]
    pub hash: Sha256,
}

/// Something that is wrong with the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditFinding {
    /// The place in the chain; `None` for an entry without one.
    pub place: Option<i64>,
    /// The entry's number; `None` for a place without one.
    pub audit_id: Option<i64>,
    /// What is wrong.
    pub what: String,
}

/// What the chain shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditReport {
    /// Entries with a place.
    pub sealed: u64,
    /// Entries without one: they may still be changed without a trace.
    pub unsealed: i64,
    /// The end of the chain.
    pub head: HeadJson,
    /// When the end was sealed.
    pub sealed_at: Option<Moment>,
    /// What is wrong.
    pub findings: Vec<AuditFinding>,
}

/// The hash of a place: of the hash in front of it, the place's number and everything that the entry says, each with its length.
fn link(before: &Sha256, place: i64, row: &AuditRow) -> Sha256 {
    let mut bytes = b"sagabus audit 1".to_vec();
    bytes.extend(before.as_bytes());
    for number in [place, row.id, row.at.micros()] {
        bytes.extend(number.to_be_bytes());
    }
    let entry = &row.entry;
    let seqs = [row.seq_before, row.seq_after].map(|seq| seq.map(|seq| seq.to_string()));
    let texts = [&entry.who, &entry.verb, &entry.target, &entry.reason, &entry.outcome].map(Some);
    for text in texts.into_iter().chain([entry.message.as_ref(), seqs[0].as_ref(), seqs[1].as_ref()]) {
        bytes.push(u8::from(text.is_some()));
        let text = text.map_or("", String::as_str);
        bytes.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    Sha256::of(&bytes)
}

/// What stands in front of the first place.
fn beginning() -> Head {
    Head { place: 0, hash: Sha256::of(b"sagabus audit"), sealed_at: Timestamp::ZERO }
}

/// Gives the entries that are ready their places. Returns how many; 0 when another engine was first.
///
/// # Errors
/// The database does not answer.
pub async fn seal(console: &Console) -> Result<usize, Failure> {
    let mut head = console.chain_head().await?.unwrap_or_else(beginning);
    let mut links = Vec::new();
    for row in console.unsealed(PAGE).await? {
        let place = head.place + 1;
        head = Head { place, hash: link(&head.hash, place, &row), ..head };
        links.push((place, row.id, head.hash));
    }
    if links.is_empty() || !console.seal(&links).await? {
        return Ok(0);
    }
    // Logs are kept elsewhere: whoever rewrites the whole chain would have to rewrite them too.
    tracing::info!(entries = links.len(), place = head.place, hash = %head.hash, "audit sealed");
    Ok(links.len())
}

/// Seals every few seconds, for ever. What fails is said once, and tried again.
pub(super) async fn keep_sealing(console: Console) {
    let mut is_failing = false;
    let mut is_behind = false;
    loop {
        if !is_behind {
            tokio::time::sleep(SEAL_EVERY).await;
        }
        let sealed = seal(&console).await;
        is_behind = matches!(sealed, Ok(PAGE));
        match sealed {
            Ok(_) => is_failing = false,
            Err(failure) => {
                if !is_failing {
                    tracing::warn!(error = %failure, "audit not sealed, it goes on");
                }
                is_failing = true;
            }
        }
    }
}

/// Goes along the whole chain. `kept` is an end of it that was kept elsewhere.
///
/// # Errors
/// The database does not answer.
pub async fn verify_audit(console: &Console, kept: Option<HeadJson>) -> Result<AuditReport, Failure> {
    let mut walk = Walk { head: beginning(), newest: Timestamp::ZERO, sealed: 0, findings: Vec::new(), kept };
    loop {
        let page = console.chain(walk.head.place, PAGE).await?;
        let Some(last) = page.last().map(|link| link.head.place) else { break };
        page.iter().for_each(|link| walk.pass(link));
        debug_assert!(walk.head.place == last, "each link moves the walk to its place");
    }
    if let Some(kept) = walk.kept.filter(|kept| kept.place > walk.head.place) {
        walk.find(Some(kept.place), None, "the chain ends before this place, which was kept elsewhere".to_owned());
    }
    let (unsealed, overlooked) = console.overlooked(walk.newest, PAGE).await?;
    for row in overlooked {
        let what = format!("written as of {}, before what is sealed, and has no place: slipped in", row.at);
        walk.find(None, Some(row.id), what);
    }
    let Head { place, hash, sealed_at } = walk.head;
    Ok(AuditReport {
        sealed: walk.sealed,
        unsealed,
        head: HeadJson { place, hash },
        sealed_at: (place > 0).then_some(Moment(sealed_at)),
        findings: walk.findings,
    })
}

/// Where the walk along the chain stands.
struct Walk {
    head: Head,
    /// The latest moment of an entry so far.
    newest: Timestamp,
    sealed: u64,
    findings: Vec<AuditFinding>,
    kept: Option<HeadJson>,
}

impl Walk {
    fn find(&mut self, place: Option<i64>, audit_id: Option<i64>, what: String) {
        self.findings.push(AuditFinding { place, audit_id, what });
    }

    /// The next link. Each is judged by the hash that is kept in front of it, so that one change is found once.
    fn pass(&mut self, link: &Sealed) {
        let Sealed { head, audit_id, row } = link;
        let (place, id) = (Some(head.place), Some(*audit_id));
        if head.place != self.head.place + 1 {
            self.find(place, None, format!("places {} to {} are missing", self.head.place + 1, head.place - 1));
        } else if row.as_ref().is_some_and(|row| self::link(&self.head.hash, head.place, row) != head.hash) {
            self.find(place, id, "the entry, or its place, is not what was sealed".to_owned());
        }
        match row {
            None => self.find(place, id, "the entry is not there any more".to_owned()),
            Some(row) => {
                self.sealed += 1;
                if row.at.plus_millis(BELATED_MS) < self.newest {
                    let what =
                        format!("written as of {}, but sealed behind one of {}: slipped in", row.at, self.newest);
                    self.find(place, id, what);
                }
                self.newest = self.newest.max(row.at);
            }
        }
        if self.kept.is_some_and(|kept| kept.place == head.place && kept.hash != head.hash) {
            self.find(place, None, "the hash is not the one that was kept elsewhere".to_owned());
        }
        self.head = *head;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::AuditEntry;

    fn row() -> AuditRow {
        let text = str::to_owned;
        let entry = AuditEntry {
            who: text("ada"),
            verb: text("cancel"),
            target: text("t"),
            reason: text("r"),
            outcome: text("decided"),
            message: None,
        };
        AuditRow { id: 1, at: Timestamp::from_millis(1), entry, seq_before: Some(1), seq_after: None }
    }

    #[test]
    fn every_word_of_an_entry_is_part_of_its_hash() {
        let begin = beginning().hash;
        let hash = link(&begin, 1, &row());
        let with = |change: &dyn Fn(&mut AuditRow)| {
            let mut changed = row();
            change(&mut changed);
            link(&begin, 1, &changed)
        };
        let changes: [&dyn Fn(&mut AuditRow); 11] = [
            &|row| row.id = 2,
            &|row| row.at = Timestamp::from_millis(2),
            &|row| row.entry.who = "eve".to_owned(),
            &|row| row.entry.verb = "resume".to_owned(),
            &|row| row.entry.target = "u".to_owned(),
            &|row| row.entry.reason = String::new(),
            &|row| row.entry.outcome = "refused".to_owned(),
            &|row| row.entry.message = Some(String::new()),
            &|row| row.seq_before = None,
            &|row| row.seq_after = Some(1),
            // The same letters, cut at another place.
            &|row| (row.entry.target, row.entry.reason) = ("tr".to_owned(), String::new()),
        ];
        for (place, change) in changes.into_iter().enumerate() {
            assert_ne!(with(change), hash, "change {place}");
        }
        assert_ne!(link(&begin, 2, &row()), hash);
        assert_ne!(link(&hash, 1, &row()), hash);
        assert_eq!(with(&|_| {}), hash);
    }

    #[test]
    fn the_form_of_a_hash_is_kept() {
        let kept = "e3e39106de24c6c76f480971f1b57a45e965929395c303e945403cd96777f529";
        assert_eq!(link(&beginning().hash, 1, &row()).to_string(), kept, "chains that are there were made so");
    }
}
