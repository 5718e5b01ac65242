//! What the kit found, a row a case.

use serde::Serialize;

use super::cases::Case;
use super::course::Course;
use super::rule::Judged;

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The participant keeps what the case is about.
    Passed,
    /// It does not.
    Failed,
    /// The case was not run.
    Skipped,
}

impl Verdict {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "pass",
            Self::Failed => "FAIL",
            Self::Skipped => "skipped",
        }
    }
}

/// One case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its number in the contract's table.
    pub case: u8,
    /// Its name there.
    pub name: &'static str,
    /// What was sent.
    pub sent: &'static str,
    /// What was required.
    pub required: &'static str,
    /// What came.
    pub came: String,
    /// What became of it.
    pub verdict: Verdict,
    /// What is wrong, each thing once.
    pub wrong: Vec<String>,
    /// What is broken and how to mend it, a hint for each broken rule; or why the case was skipped.
    pub hints: Vec<String>,
    /// What is worth knowing besides.
    pub notes: Vec<String>,
    /// How long it took.
    pub millis: u64,
}

impl Row {
    /// A case that was not run.
    pub(super) fn skipped(case: &Case, reason: &str) -> Self {
        let hints = vec![reason.to_owned()];
        Self { verdict: Verdict::Skipped, hints, ..Self::of(case, "-".to_owned(), 0) }
    }

    /// A case that was run, or could not be.
    pub(super) fn judged(case: &Case, course: &Course, judged: Judged, millis: u64) -> Self {
        let mut row = Self::of(case, course.said(), millis);
        for finding in judged.findings {
            let (what, hint) = (finding.what, finding.rule.hint().to_owned());
            if !row.wrong.contains(&what) {
                row.wrong.push(what);
            }
            if !row.hints.contains(&hint) {
                row.hints.push(hint);
            }
        }
        row.verdict = if row.wrong.is_empty() { Verdict::Passed } else { Verdict::Failed };
        row.notes = judged.notes;
        if !course.effects.is_empty() && course.effects.len() < case.sagas {
            row.notes.push(format!("the ledger was asked about {} of {} sagas", course.effects.len(), case.sagas));
        }
        row
    }

    fn of(case: &Case, came: String, millis: u64) -> Self {
        Self {
            case: case.number,
            name: case.name,
            sent: case.sent,
            required: case.required,
            came,
            verdict: Verdict::Passed,
            wrong: Vec::new(),
            hints: Vec::new(),
            notes: Vec::new(),
            millis,
        }
    }
}

/// What the kit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The participant's command topic.
    pub command_topic: String,
    /// Where it answers.
    pub reply_topic: String,
    /// The step.
    pub step: String,
    /// True when effects were counted by a ledger, besides what the replies say of them.
    pub effects_counted: bool,
    /// The cases, by number.
    pub cases: Vec<Row>,
}

impl Report {
    /// How many cases have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cases.iter().filter(|row| row.verdict == verdict).count()
    }

    /// For the last line: how many passed, failed and were skipped.
    pub fn summary(&self) -> String {
        let [passed, failed, skipped] = [Verdict::Passed, Verdict::Failed, Verdict::Skipped].map(|v| self.count(v));
        let ledger =
            if self.effects_counted { "" } else { "; effects as the replies tell them: --ledger-command counts them" };
        format!("{passed} passed, {failed} failed, {skipped} skipped{ledger}")
    }

    /// As JUnit's XML, a test case for each case.
    pub fn junit(&self) -> String {
        super::junit::xml(self)
    }
}
