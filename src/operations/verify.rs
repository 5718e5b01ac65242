//! The online checks (RELIABILITY.md section 2.5): views that Postgres answers, and a fold of sagas page by page. Reads only. Each
//! statement is a snapshot of its own, so that engines may work beside them, and no long transaction holds vacuum back.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use crate::definition::Compiled;
use crate::replay::{self, Findings};
use crate::store::{Console, Found, Offender, Snapshot};

use super::failure::Failure;
use super::opened::Plans;

/// Sagas that are read by one statement.
pub(super) const PAGE: usize = 100;

/// One online check. (`hash_breaks` comes with the hash chain.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// An open saga that nothing will look at.
    SilentSagas,
    /// A saga that is due and was not looked at for a minute.
    LateWakeUps,
    /// A journal that does not number its rows 1, 2, 3 ...
    JournalGaps,
    /// A saga whose row is not what its journal folds to.
    FoldDifferences,
    /// An undo before the undo of a step that depends on it.
    CompensationOrderViolations,
    /// A committed batch that nobody will send.
    UnemittedWithoutWriter,
    /// A partition whose records did not each end as one verdict.
    OffsetHoles,
    /// A participant contradicted itself, and nobody has acted on the saga since.
    ConflictingReplies,
    /// A record that waits for a person.
    ParkedOpen,
}

/// What it means that a check finds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// A promise is broken: exit 1.
    Wrong,
    /// Sagabus did as it should with what others did; a person has to look: exit 0.
    Look,
}

impl Check {
    /// All checks, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::SilentSagas,
        Self::LateWakeUps,
        Self::JournalGaps,
        Self::FoldDifferences,
        Self::CompensationOrderViolations,
        Self::UnemittedWithoutWriter,
        Self::OffsetHoles,
        Self::ConflictingReplies,
        Self::ParkedOpen,
    ];

    /// The check as views, metrics and people name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SilentSagas => "silent_sagas",
            Self::LateWakeUps => "late_wake_ups",
            Self::JournalGaps => "journal_gaps",
            Self::FoldDifferences => "fold_differences",
            Self::CompensationOrderViolations => "compensation_order_violations",
            Self::UnemittedWithoutWriter => "unemitted_without_writer",
            Self::OffsetHoles => "offset_holes",
            Self::ConflictingReplies => "conflicting_replies",
            Self::ParkedOpen => "parked_open",
        }
    }

    /// What a finding means.
    pub fn meaning(self) -> Meaning {
        match self {
            Self::SilentSagas
            | Self::LateWakeUps
            | Self::JournalGaps
            | Self::FoldDifferences
            | Self::CompensationOrderViolations
            | Self::UnemittedWithoutWriter
            | Self::OffsetHoles => Meaning::Wrong,
            Self::ConflictingReplies | Self::ParkedOpen => Meaning::Look,
        }
    }
}

/// What all checks found, as programs read it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// Sagas whose journals were folded.
    pub sagas_folded: u64,
    /// Findings of checks that mean `wrong`.
    pub wrong: u64,
    /// Findings of checks that mean `look`.
    pub look: u64,
    /// Each check, whatever it found.
    pub checks: Vec<CheckJson>,
}

/// What one check found, as programs read it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckJson {
    /// Which one.
    pub check: Check,
    /// What a finding means.
    pub meaning: Meaning,
    /// How many findings there are.
    pub count: u64,
    /// The first of them.
    pub first: Vec<OffenderJson>,
}

/// One finding, as programs read it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OffenderJson {
    /// A saga's id, or what else it is about.
    pub id: String,
    /// The business key or the record's key.
    pub key: Option<String>,
    /// What is wrong with it.
    pub what: String,
}

impl VerifyReport {
    fn of(sagas_folded: u64, tally: Tally) -> Self {
        let checks: Vec<CheckJson> = Check::ALL.map(|check| tally.json(check)).into();
        let sum = |meaning| checks.iter().filter(|found| found.meaning == meaning).map(|found| found.count).sum();
        Self { sagas_folded, wrong: sum(Meaning::Wrong), look: sum(Meaning::Look), checks }
    }
}

/// What was found so far, by check: a count, and the first offenders up to a limit.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    limit: usize,
    found: BTreeMap<Check, Found>,
}

impl Tally {
    /// Nothing yet; keeps this many offenders of each check.
    pub(super) fn keeping(limit: usize) -> Self {
        Self { limit, found: BTreeMap::new() }
    }

    /// Adds what a check found.
    pub(super) fn add(&mut self, check: Check, found: Found) {
        let known = self.found.entry(check).or_default();
        known.count += found.count;
        let room = self.limit.saturating_sub(known.first.len());
        known.first.extend(found.first.into_iter().take(room));
    }

    /// What a check found.
    pub(super) fn get(&self, check: Check) -> Found {
        self.found.get(&check).cloned().unwrap_or_default()
    }

    fn json(&self, check: Check) -> CheckJson {
        let Found { count, first } = self.get(check);
        let offender = |Offender { id, key, what }| OffenderJson { id, key, what };
        CheckJson { check, meaning: check.meaning(), count, first: first.into_iter().map(offender).collect() }
    }
}

/// Runs every check: on all sagas, or on `sample` of them drawn by lot. Keeps the first `limit` offenders of each. `progress` is told
/// how many sagas are folded.
///
/// # Errors
/// The database does not answer.
pub async fn verify(
    console: &Console,
    sample: Option<usize>,
    limit: usize,
    mut progress: impl FnMut(u64),
) -> Result<VerifyReport, Failure> {
    let mut tally = Tally::keeping(limit);
    look_at_views(console, &mut tally).await?;
    let mut folds = Folds::default();
    if let Some(count) = sample {
        let seed = crate::engine::wall_clock().micros();
        for page in console.sample(count, seed).await?.chunks(PAGE) {
            tally.add(Check::JournalGaps, console.journal_gaps(Some(page), limit).await?);
            folds.look_at(console, page, &mut tally).await?;
            progress(folds.folded);
        }
        return Ok(VerifyReport::of(folds.folded, tally));
    }
    tally.add(Check::JournalGaps, console.journal_gaps(None, limit).await?);
    let mut before = Uuid::max();
    while let Some(page) = next_page(console, &mut before).await? {
        folds.look_at(console, &page, &mut tally).await?;
        progress(folds.folded);
    }
    Ok(VerifyReport::of(folds.folded, tally))
}

/// Looks at every journal: gaps, differences between its fold and the stored row, undos out of order. Returns the number of sagas and
/// what was found, by saga.
///
/// # Errors
/// The database does not answer.
pub async fn replay_verify(console: &Console) -> Result<(u64, Vec<(String, String)>), Failure> {
    let mut tally = Tally::keeping(usize::MAX);
    tally.add(Check::JournalGaps, console.journal_gaps(None, usize::MAX).await?);
    let (mut folds, mut before) = (Folds::default(), Uuid::max());
    while let Some(page) = next_page(console, &mut before).await? {
        folds.look_at(console, &page, &mut tally).await?;
    }
    let of_journals = [Check::JournalGaps, Check::FoldDifferences, Check::CompensationOrderViolations];
    let found = of_journals.into_iter().flat_map(|check| tally.get(check).first);
    Ok((folds.folded, found.map(|offender| (offender.id, offender.what)).collect()))
}

/// The sagas before `before`, which moves on to the last of them; `None` when there are none.
pub(super) async fn next_page(console: &Console, before: &mut Uuid) -> Result<Option<Vec<Uuid>>, Failure> {
    let page = console.page(*before, PAGE).await?;
    let Some(last) = page.last() else { return Ok(None) };
    *before = *last;
    Ok(Some(page))
}

/// The views that need no fold and cost no more with more sagas that have ended; `journal_gaps` does and is asked apart.
pub(super) async fn look_at_views(console: &Console, tally: &mut Tally) -> Result<(), Failure> {
    let limit = tally.limit;
    tally.add(Check::SilentSagas, console.silent_sagas(limit).await?);
    tally.add(Check::LateWakeUps, console.late_wake_ups(limit).await?);
    tally.add(Check::UnemittedWithoutWriter, console.unemitted_without_writer(limit).await?);
    tally.add(Check::OffsetHoles, console.offset_holes(limit).await?);
    tally.add(Check::ParkedOpen, console.parked_open(limit).await?);
    Ok(())
}

/// Folds sagas with their definitions.
#[derive(Debug, Default)]
pub(super) struct Folds {
    plans: Plans,
    /// Sagas that were looked at.
    pub(super) folded: u64,
}

impl Folds {
    /// Folds these sagas, and adds what is found of them. A saga that cannot be read is a finding, and the rest goes on.
    pub(super) async fn look_at(
        &mut self,
        console: &Console,
        sagas: &[Uuid],
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        for snapshot in console.snapshots(sagas).await? {
            self.folded += 1;
            // Without all its rows a journal folds to anything: that it lacks some is the finding.
            if !is_complete(&snapshot) {
                continue;
            }
            let findings = match self.plans.get(console, snapshot.row.definition_hash).await? {
                Ok(plan) => findings(&plan, &snapshot),
                Err(why) => Findings { differences: vec![why], ..Findings::default() },
            };
            let found = |texts: Vec<String>| Found {
                count: u64::try_from(texts.len()).unwrap_or(u64::MAX),
                first: texts.into_iter().map(|what| offender(&snapshot, what)).collect(),
            };
            tally.add(Check::FoldDifferences, found(findings.differences));
            tally.add(Check::CompensationOrderViolations, found(findings.out_of_order));
            tally.add(Check::ConflictingReplies, found(findings.contradictions));
        }
        Ok(())
    }
}

fn findings(plan: &Compiled, snapshot: &Snapshot) -> Findings {
    match replay::decode(snapshot.facts.iter().map(Vec::as_slice)) {
        Ok(journal) => replay::check(plan.definition(), &snapshot.row, &journal, snapshot.now),
        Err(error) => Findings { differences: vec![format!("journal: {error}")], ..Findings::default() },
    }
}

fn is_complete(snapshot: &Snapshot) -> bool {
    !snapshot.seqs.is_empty() && snapshot.seqs.iter().zip(1..).all(|(seq, place)| *seq == place)
}

fn offender(snapshot: &Snapshot, what: String) -> Offender {
    Offender { id: snapshot.row.id.to_string(), key: Some(snapshot.row.business_key.to_string()), what }
}
