//! What a step says and where: a command to its participant, or a notice that it waits.

use std::sync::Arc;

use serde_saphyr::Location;

use crate::core::{StepKind, Wait};

use super::compile::Bench;
use super::file::{ClocksFile, DefinitionFile};
use super::step_file::{KindFile, Message, StepFile, WaitForFile};

/// How long a step waits that commands nobody, unless it says otherwise: a week.
const WAITS_MS: u64 = 7 * DAY_MS;
/// How often its notice is sent again, unless it says otherwise: an answer, or a service that read it, may have been lost.
const DAY_MS: u64 = 24 * 3_600_000;

impl From<WaitForFile> for Wait {
    fn from(file: WaitForFile) -> Self {
        match file {
            WaitForFile::Signal => Self::Signal,
            WaitForFile::Approval => Self::Approval,
        }
    }
}

/// What the step's failure and success mean. One that only waits has no effect.
pub(super) fn kind(step: &StepFile) -> StepKind {
    match step.kind {
        None if step.wait.is_some() => StepKind::ReadOnly,
        Some(KindFile::Pivot) => StepKind::Pivot,
        Some(KindFile::Retriable) => StepKind::Retriable,
        Some(KindFile::ReadOnly) => StepKind::ReadOnly,
        Some(KindFile::Compensatable) | None => StepKind::Compensatable,
    }
}

impl Bench<'_> {
    /// The step's command or notice; nothing where it says neither, which is found.
    pub(super) fn message<'f>(
        &mut self,
        at: Location,
        name: &str,
        file: &'f StepFile,
        (kind, behind_pivot): (StepKind, bool),
    ) -> Message<'f> {
        let Some(message) = file.message() else {
            let hint = "say command: {type: ...}, or wait: {for: approval} when it commands nobody";
            self.find(at, format!("step {name} neither commands nor waits"), hint);
            return Message { kind: "", data: None, schema: None };
        };
        self.kind_of_message(at, message.kind);
        if let Some(undo) = file.undo() {
            self.kind_of_message(at, undo.kind);
        }
        if file.wait.is_some() {
            self.waiting(at, name, file, (kind, behind_pivot));
        }
        message
    }

    /// A step that waits has no participant, and nothing that belongs to one.
    fn waiting(&mut self, at: Location, name: &str, file: &StepFile, (kind, behind_pivot): (StepKind, bool)) {
        let said = [
            ("a command", file.command.is_some()),
            ("a participant", file.participant.is_some()),
            ("a compensation", file.compensate.is_some() || file.compensation.is_said()),
        ];
        for (what, _) in said.into_iter().filter(|(_, is_said)| *is_said) {
            let hint = "it commands nobody, and nothing of it is undone: remove one of both";
            self.find(at, format!("step {name} waits, and has {what}"), hint);
        }
        if matches!(kind, StepKind::Compensatable | StepKind::Pivot) {
            let hint = "it has no effect: leave kind out, or behind a pivot say kind: retriable";
            self.find(at, format!("step {name} waits, and is compensatable or a pivot"), hint);
        } else if kind == StepKind::Retriable && !behind_pivot {
            let message = format!("step {name} waits, and never fails although the saga still may");
            self.find(at, message, "a no could then end nothing: leave kind out, or put it behind the pivot");
        }
    }

    /// Where the step's commands go; a notice goes where the saga's end is announced.
    pub(super) fn command_topic(
        &mut self,
        at: Location,
        name: &str,
        file: &StepFile,
        model: &DefinitionFile,
    ) -> Arc<str> {
        if file.wait.is_some() {
            return model.outcome_topic();
        }
        let participant = file.participant.as_deref().unwrap_or(name);
        let configured =
            model.participants.get(participant).and_then(|participant| participant.command_topic.as_deref());
        let topic = configured.map_or_else(|| format!("{participant}.commands").into(), Arc::from);
        self.topic(at, &topic);
        topic
    }

    /// After which time without an answer the step's command is sent again, and how long it is waited for in all.
    pub(super) fn pace(&mut self, file: &StepFile, defaults: &ClocksFile) -> (u64, u64) {
        if file.wait.is_some() {
            let patience = self.millis(&[&file.patience], WAITS_MS);
            return (self.millis(&[&file.timeout], DAY_MS.min(patience)), patience);
        }
        let timeout = self.millis(&[&file.timeout, &defaults.timeout], 30_000);
        (timeout, self.millis(&[&file.patience, &defaults.patience], 300_000))
    }
}
