//! What happened to a saga: the only thing that is stored. The state is a fold over facts (`evolve`).
//!
//! Facts that came from an input carry that input's content, so that a journal reads back as inputs (the replay tool does).
//! Facts are stored by their places, without a name (`Transition::encode`): a new variant comes behind the others, and the fields of what is
//! stored never change. What has to say more is a variant of its own; `rows_never_change_from_version_to_version` holds this.

#![expect(missing_docs, reason = "the fields of a variant are explained by the variant")]

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::definition::StepIx;
use super::hash::Sha256;
use super::id_text;
use super::input::{Operation, Trigger};
use super::json::Json;
use super::phase::Phase;
use super::saga::{Action, BlockKind};
use super::time::Timestamp;

/// Room for most rows, so that they are not moved while they are written.
const ROW_BYTES: usize = 512;

/// The first byte of a row: how the rest is to be read.
const FORMAT: u8 = 1;

/// One journal row: what one input, or one turn of the dispatcher, did to a saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// When it was decided; every deadline follows from it.
    pub now: Timestamp,
    /// The facts, in order.
    pub facts: Vec<Fact>,
}

impl Transition {
    /// The row as it is stored.
    pub fn encode(&self) -> Vec<u8> {
        Self::encode_parts(self.now, &self.facts)
    }

    /// The row of these facts, decided at `now`, as it is stored.
    pub fn encode_parts(now: Timestamp, facts: &[Fact]) -> Vec<u8> {
        let mut row = Vec::with_capacity(ROW_BYTES);
        row.push(FORMAT);
        // Fields are told apart by their places: this is a `Transition` that owns nothing.
        postcard::to_extend(&(now, facts), row).expect("facts are plain data")
    }

    /// A stored row.
    ///
    /// # Errors
    /// A row that this version cannot read, or not to its end.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wrong = |what: &str| DecodeError(what.to_owned());
        let packed = match bytes {
            [FORMAT, packed @ ..] => packed,
            [format, ..] => return Err(DecodeError(format!("rows of format {format} are of another version"))),
            [] => return Err(wrong("an empty row")),
        };
        match postcard::take_from_bytes(packed) {
            Ok((transition, [])) => Ok(transition),
            Ok(_) => Err(wrong("more bytes behind its end")),
            Err(error) => Err(DecodeError(error.to_string())),
        }
    }
}

/// A journal row that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("facts cannot be read: {0}")]
pub struct DecodeError(String);

/// Something that happened to a saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fact {
    /// The saga began.
    Started { definition: Sha256, business_key: Arc<str>, trigger: Trigger },
    /// A step's command may go out as soon as its participant has room.
    Ready { step: StepIx, action: Action },
    /// A command was decided; patience runs from here. `data_hash`: SHA-256 of its data.
    Issued { step: StepIx, action: Action, attempt: u16, data_hash: Sha256 },
    /// The same command was decided to be sent again.
    Resent { step: StepIx, action: Action, attempt: u16 },
    /// The participant is at work: a new reply deadline, the same patience.
    Progressed { step: StepIx, action: Action, attempt: u16, answer: Answer },
    /// The effect happened. Without `answer`, a person or rule says so.
    Succeeded {
        step: StepIx,
        action: Action,
        attempt: u16,
        #[serde(default)]
        answer: Option<Answer>,
    },
    /// The effect did not happen and never will under this attempt.
    Failed {
        step: StepIx,
        action: Action,
        attempt: u16,
        #[serde(default)]
        answer: Option<Answer>,
    },
    /// The step failed before a command of it was issued: its data could not be made.
    Refused { step: StepIx, action: Action, code: Arc<str>, message: String },
    /// A new attempt is due at `at`.
    RetryDue { step: StepIx, action: Action, at: Timestamp },
    /// Patience ended unanswered: the step counts as possibly done and will be undone, if it has an effect.
    GivenUp { step: StepIx, attempt: u16 },
    /// The step is over without success: nothing will be tried any more.
    FailedForGood { step: StepIx, code: Arc<str>, message: String },
    /// An operator skipped the step.
    Skipped {
        step: StepIx,
        #[serde(default)]
        reply: Option<Json>,
    },
    /// The saga's direction turned: what was done will be undone.
    Turned { cause: Cause },
    /// A step's undo will not succeed by itself: out of attempts, refused, or unanswered for its patience.
    Exhausted { step: StepIx, unanswered: bool },
    /// The step's effect stays, knowingly (`onExhausted: skip`, or a person's word).
    UndoSkipped { step: StepIx },
    /// The step needs an undo of its own, although the saga may not turn: its `do` succeeded after it counted as not done.
    UndoDue { step: StepIx },
    /// Something stands in the saga's way that it cannot remove by itself.
    Blocked { step: StepIx, action: Action, kind: BlockKind, code: Arc<str>, message: String },
    /// This block is gone.
    Unblocked { step: StepIx, action: Action, kind: BlockKind },
    /// The saga's phase changed. Final phases and `stuck` are announced.
    PhaseChanged { phase: Phase },
    /// A `do` that was never issued (by the facts we have) was answered with success: commits were lost.
    AnsweredEarly { step: StepIx, attempt: u16, answer: Answer },
    /// A reply that came too late to matter, with what was new in it.
    CameLate { step: StepIx, action: Action, attempt: u16, answer: Answer },
    /// A reply, or a second trigger, that contradicts an earlier one. The first one wins.
    Conflicted { step: StepIx, action: Action, attempt: u16, answer: Answer },
    /// The broker refused this command for good, or its data renders differently.
    Undeliverable { step: StepIx, action: Action, attempt: u16, code: Arc<str>, message: String },
    /// A wake-up came before anything was due; the next one is at `at`.
    Rearmed {
        #[serde(default)]
        at: Option<Timestamp>,
    },
    /// An operator acted; the facts behind it are what followed.
    Operated { operation: Operation },
    /// A wish to turn, kept until the pivot in flight is answered.
    TurnWished { cause: Cause },
    /// The wish came to nothing: the pivot has succeeded.
    WishRefused,
    /// Other data for the step's next attempt.
    Edited { step: StepIx, action: Action, data: Json },
    /// The count of failures starts anew, and unanswered commands get new patience.
    Renewed { step: StepIx, action: Action },
    /// Timers stood still while the saga was paused; they go on, later by this many milliseconds. Those of a held step do not.
    Thawed { millis: u64 },
    /// A person holds the step, its participant or its definition: nothing of it is sent, and its timers stand still since then.
    Held { step: StepIx, since: Timestamp },
    /// Nobody holds the step any more: its timers go on, later by this many milliseconds.
    Released { step: StepIx, millis: u64 },
}

impl Fact {
    /// The step that the fact names, itself or in its cause; `None` when it is about the saga as a whole.
    pub fn step(&self) -> Option<StepIx> {
        match self {
            Self::Ready { step, .. }
            | Self::Issued { step, .. }
            | Self::Resent { step, .. }
            | Self::Progressed { step, .. }
            | Self::Succeeded { step, .. }
            | Self::Failed { step, .. }
            | Self::Refused { step, .. }
            | Self::RetryDue { step, .. }
            | Self::GivenUp { step, .. }
            | Self::FailedForGood { step, .. }
            | Self::Skipped { step, .. }
            | Self::Exhausted { step, .. }
            | Self::UndoSkipped { step }
            | Self::UndoDue { step }
            | Self::Blocked { step, .. }
            | Self::Unblocked { step, .. }
            | Self::AnsweredEarly { step, .. }
            | Self::CameLate { step, .. }
            | Self::Conflicted { step, .. }
            | Self::Undeliverable { step, .. }
            | Self::Edited { step, .. }
            | Self::Renewed { step, .. }
            | Self::Held { step, .. }
            | Self::Released { step, .. } => Some(*step),
            Self::Turned { cause } | Self::TurnWished { cause } => match cause {
                Cause::Step(step) | Cause::LostCommits(step) => Some(*step),
                Cause::Cancel | Cause::Compensate => None,
            },
            Self::Started { .. }
            | Self::PhaseChanged { .. }
            | Self::Rearmed { .. }
            | Self::Operated { .. }
            | Self::WishRefused
            | Self::Thawed { .. } => None,
        }
    }
}

/// A participant's answer, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The reply's `ce_id`.
    #[serde(with = "id_text")]
    pub id: Arc<str>,
    /// What it says of the effect.
    pub outcome: Outcome,
    /// Its value.
    pub data: Json,
    /// `ce_sagaerrorcode` of a failure.
    #[serde(default)]
    pub code: Option<Arc<str>>,
    /// `ce_sagaretryable`: the step may be tried again with a new attempt.
    #[serde(default)]
    pub retryable: bool,
    /// `ce_sagaeffect: false`: a success that changed nothing.
    #[serde(default)]
    pub without_effect: bool,
}

impl Answer {
    /// The code of a failure that says nothing about the effect: the participant saw the same id with other data.
    pub const CONFLICT: &'static str = "saga.conflict";

    /// The code of a failure of a command that came after its expiry and was not carried out.
    pub const EXPIRED: &'static str = "saga.expired";

    /// True for a failure with code `saga.conflict`.
    pub fn is_conflict(&self) -> bool {
        self.outcome == Outcome::Failure && self.code.as_deref() == Some(Self::CONFLICT)
    }

    /// True when both say the same: outcome and data (CONTRACT.md section 3). `saga.conflict` says something else than any failure.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.outcome == other.outcome && self.data == other.data && self.is_conflict() == other.is_conflict()
    }
}

/// What a reply says of the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It happened.
    Success,
    /// It did not happen and never will under this command id.
    Failure,
    /// It is being worked on.
    Progress,
}

/// Why a saga turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// A step failed for good, or was given up.
    Step(StepIx),
    /// An operator cancelled the saga: it ends `cancelled`.
    Cancel,
    /// An operator asked for compensation: it ends `compensated`.
    Compensate,
    /// An undo succeeded that the saga does not know to have issued: committed facts were lost.
    LostCommits(StepIx),
}
