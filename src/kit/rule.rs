//! What a finding means: the rule of the contract that is broken, and how to mend it.

/// A rule of the contract, as a broken case shows it. The numbers are those of CONTRACT.md section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nobody answers.
    Silence,
    /// The answer's headers, key or value.
    Envelope,
    /// The participant refuses what the case builds on.
    Refused,
    /// The definition reads the reply.
    Reply,
    /// Rule 1.
    StoredReply,
    /// Rule 2.
    OneTransaction,
    /// Rule 3.
    Conflict,
    /// Rule 4.
    Closed,
    /// Rule 5.
    UndoneOnce,
    /// Rules 4 and 5 when both come at once.
    Race,
    /// Rule 6.
    Remembered,
    /// Rule 7.
    AtTheSameTime,
    /// Rule 9.
    Expired,
    /// Section 5: the consumer's loop.
    Malformed,
}

impl Rule {
    /// What is broken and how to mend it.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Silence => {
                "Every command is answered, on the topic in its ce_replyto. Does the participant run, read this command topic, and know this ce_type? \
                 If it answers, ce_causationid must be the command's ce_id."
            }
            Self::Envelope => {
                "Section 3: answer with the command's key; ce_correlationid = the command's ce_correlationid, ce_causationid = its ce_id; \
                 ce_specversion, ce_id, ce_source, ce_type and ce_sagaoutcome are there once; the value is JSON."
            }
            Self::Refused => "Give data that this participant accepts: --data, or --trigger with a definition.",
            Self::Reply => {
                "The definition reads this step's reply: answer with the members that its undo and later steps read, and that fit `reply: {schema: ...}`."
            }
            Self::StoredReply => {
                "Rule 1: store the reply under the command's ce_id, byte for byte, and answer every later delivery with it without running the handler."
            }
            Self::OneTransaction => {
                "Rule 2: write the effect and the reply in one local transaction, then send; commit the consumer's offset only after that (rule 8). \
                 A store in memory does not survive a restart."
            }
            Self::Conflict => {
                "Rule 3: keep the SHA-256 of the value's bytes with the ce_id. The same id with other bytes has no effect: failure, code saga.conflict, \
                 and the stored reply stays."
            }
            Self::Closed => {
                "Rule 4: an undo closes its saga and step for good, also when its do never came (success, ce_sagaeffect: false). Every later do of that saga \
                 and step, whatever its attempt, is refused: failure, code saga.step_closed."
            }
            Self::UndoneOnce => {
                "Rule 5: an undo undoes the do that had an effect, once, by saga and step and not by its own id. One that finds nothing to undo says \
                 ce_sagaeffect: false."
            }
            Self::Race => {
                "Rules 4 and 5 when a do and its undo run at the same moment: take a lock on saga and step before you look (the barrier's \
                 pg_advisory_xact_lock, a statement of its own), and close the step before you look for its do."
            }
            Self::Remembered => {
                "Rule 6: store failures as well. The same ce_id never succeeds later; a new attempt has a new ce_id and is judged anew."
            }
            Self::AtTheSameTime => {
                "Rule 7: of two deliveries at the same moment one runs, the other waits for it or is answered from its result: insert the ce_id first, \
                 under a unique key, in the transaction of the effect."
            }
            Self::Expired => {
                "Rule 9: a do that comes after its ce_expirytime is refused (failure, code saga.expired), or done once."
            }
            Self::Malformed => {
                "Section 5: check the headers and the value before anything else. A record that is no command is logged, put aside and passed over: never \
                 answered with an outcome, and never a reason to stop or to read it again for ever."
            }
        }
    }
}

/// One thing that is wrong, and the rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    pub(super) what: String,
}

/// What a judge says: what is wrong, and what is worth knowing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) findings: Vec<Finding>,
    pub(super) notes: Vec<String>,
}

impl Judged {
    /// Adds a finding.
    pub(super) fn wrong(&mut self, rule: Rule, what: impl Into<String>) {
        self.findings.push(Finding { rule, what: what.into() });
    }
}
