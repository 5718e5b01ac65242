//! Definitions from one line, and sagas driven by hand: what the tests of the rules are written with.

use std::sync::Arc;

use sagabus::core::{
    Action, Answer, CompensationPolicy, Decision, Definition, Fact, Input, Jitter, Json, OnExhausted, Operation,
    Outcome, Phase, Render, RenderError, Reply, RetryPolicy, Rules, Saga, Sha256, Step, StepIx, StepKind, Timestamp,
    Transition, Trigger, Undo, Verb, Verdict, Wait, command_id, decide, fold, issue_all, next_due, ready, saga_id,
    start,
};
use sagabus::replay::check;
use sagabus::store::SagaRow;
use uuid::Uuid;

/// Data that name their step: different for each command, the same each time.
#[derive(Debug)]
pub(crate) struct Plain;

impl Render for Plain {
    fn data(&self, saga: &Saga, step: StepIx, action: Action) -> Result<Json, RenderError> {
        if let Some(data) = saga.step(step).edited(action) {
            return Ok(data.clone());
        }
        Ok(Json::parse(format!(r#"{{"step":{},"action":"{}"}}"#, step.0, action.name()).as_bytes()).unwrap())
    }

    fn check_reply(&self, _step: StepIx, _data: &Json) -> Result<(), String> {
        Ok(())
    }
}

fn kind(words: &[&str]) -> StepKind {
    match words {
        words if words.contains(&"pivot") => StepKind::Pivot,
        words if words.contains(&"retriable") => StepKind::Retriable,
        words if words.contains(&"readOnly") || waits(words).is_some() => StepKind::ReadOnly,
        _ => StepKind::Compensatable,
    }
}

fn waits(words: &[&str]) -> Option<Wait> {
    match words {
        words if words.contains(&"approval") => Some(Wait::Approval),
        words if words.contains(&"signal") => Some(Wait::Signal),
        _ => None,
    }
}

/// A definition from text such as `order; clearing after order; risk after clearing pivot; mail after order retriable; look readOnly`.
/// `skip` lets a compensation be skipped when it is exhausted; the effect of a `retriable stays` has no undo; `approval` and `signal` wait.
pub(crate) fn definition(text: &str) -> Definition {
    let parsed: Vec<Vec<&str>> = text.split(';').map(|step| step.split_whitespace().collect()).collect();
    let place = |name: &str| parsed.iter().position(|words| words[0] == name).expect("a step of the definition");
    let after = |words: &[&str]| -> Vec<usize> {
        words
            .iter()
            .position(|word| *word == "after")
            .map_or(Vec::new(), |at| words[at + 1].split(',').map(place).collect())
    };
    let ix = |at: usize| StepIx(u16::try_from(at).unwrap());
    let mut order: Vec<usize> = Vec::new();
    while order.len() < parsed.len() {
        let next = (0..parsed.len())
            .find(|at| !order.contains(at) && after(&parsed[*at]).iter().all(|before| order.contains(before)));
        order.push(next.expect("no cycle"));
    }
    let mut behind = vec![false; parsed.len()];
    for at in &order {
        behind[*at] =
            after(&parsed[*at]).iter().any(|before| behind[*before] || kind(&parsed[*before]) == StepKind::Pivot);
    }
    let retry = RetryPolicy {
        maximum_attempts: 3,
        initial_interval_ms: 100,
        backoff_coefficient_milli: 2_000,
        maximum_interval_ms: 2_000,
        jitter: Jitter::None,
    };
    let step = |(at, words): (usize, &Vec<&str>)| Step {
        name: words[0].into(),
        participant: words[0].into(),
        command_topic: format!("{}.commands", words[0]).into(),
        waits: waits(words),
        kind: kind(words),
        after: after(words).into_iter().map(ix).collect(),
        before: (0..parsed.len()).filter(|other| after(&parsed[*other]).contains(&at)).map(ix).collect(),
        behind_pivot: behind[at],
        command_type: "do".into(),
        undo: match kind(words) {
            StepKind::Compensatable => Undo::Command("undo".into()),
            StepKind::Retriable if !behind[at] && !words.contains(&"stays") && waits(words).is_none() => {
                Undo::Command("undo".into())
            }
            StepKind::Retriable | StepKind::Pivot | StepKind::ReadOnly => Undo::Nothing,
        },
        timeout_ms: if waits(words).is_some() { 5_000 } else { 1_000 },
        patience_ms: 5_000,
        retry: retry.clone(),
        compensation: CompensationPolicy {
            timeout_ms: 1_000,
            patience_ms: 10_000,
            retry: retry.clone(),
            on_exhausted: if words.contains(&"skip") { OnExhausted::Skip } else { OnExhausted::Block },
        },
    };
    Definition {
        hash: Sha256::of(text.as_bytes()),
        name: "given".into(),
        version: 1,
        trigger_topic: "triggers".into(),
        trigger_type: "go".into(),
        reply_topic: "replies".into(),
        outcome_topic: "events".into(),
        steps: parsed.iter().enumerate().map(step).collect(),
        order: order.into_iter().map(ix).collect(),
    }
}

/// The saga of the readme.
pub(crate) const TRADE: &str = "order; clearing after order; risk after clearing pivot; accounting after risk retriable; notification after order retriable";

/// A saga driven by hand: every input is decided, everything ready is issued, every row kept.
pub(crate) struct Driven {
    pub(crate) definition: Definition,
    pub(crate) saga: Saga,
    pub(crate) journal: Vec<Transition>,
    pub(crate) now: Timestamp,
    /// Since when a person holds each step.
    pub(crate) held: Vec<Option<Timestamp>>,
}

pub(crate) fn answer(outcome: Outcome, code: Option<&str>, retryable: bool, data: &str) -> Answer {
    Answer {
        id: "answer".into(),
        outcome,
        data: Json::parse(data.as_bytes()).unwrap(),
        code: code.map(Arc::from),
        retryable,
        without_effect: false,
    }
}

pub(crate) fn success() -> Answer {
    answer(Outcome::Success, None, false, "{}")
}

pub(crate) fn refusal() -> Answer {
    answer(Outcome::Failure, Some("NO"), false, "{}")
}

pub(crate) fn busy() -> Answer {
    answer(Outcome::Failure, Some("BUSY"), true, "{}")
}

/// The participant saw the same id with other data.
pub(crate) fn conflict() -> Answer {
    answer(Outcome::Failure, Some(Answer::CONFLICT), false, "{}")
}

/// Another success than `success()`.
pub(crate) fn other_success() -> Answer {
    answer(Outcome::Success, None, false, r#"{"other":1}"#)
}

/// An operator's action.
pub(crate) fn ask(saga: &mut Driven, verb: Verb) -> Verdict {
    told(saga, verb).verdict
}

/// The decision on what a person asks, with the words that they are told.
pub(crate) fn told(saga: &mut Driven, verb: Verb) -> Decision {
    let operation = Operation { id: Uuid::nil(), verb, who: "ada".into(), reason: "test".into(), expect_seq: None };
    saga.input(&Input::Operation(operation))
}

impl Driven {
    pub(crate) fn start(text: &str) -> Self {
        let definition = definition(text);
        let now = Timestamp::from_millis(1_700_000_000_000);
        let trigger = Trigger {
            topic: "triggers".into(),
            partition: 0,
            offset: 0,
            timestamp: now,
            id: Some("trigger".into()),
            kind: "go".into(),
            data: Json::empty_object(),
            traceparent: None,
            tracestate: None,
        };
        let rules = Rules { definition: &definition, render: &Plain, held: &[] };
        let decision = issue_all(rules, start(rules, saga_id("given", "key", now), "key".into(), trigger, now));
        let journal = vec![Transition { now, facts: decision.facts.clone() }];
        let held = vec![None; definition.steps.len()];
        Self { saga: decision.saga, definition, journal, now, held }
    }

    /// Decides an input now, and issues what became ready.
    pub(crate) fn input(&mut self, input: &Input) -> Decision {
        // An engine hands over no list at all where nothing of a definition is held.
        let held = if self.held.iter().all(Option::is_none) { &[][..] } else { &self.held };
        let rules = Rules { definition: &self.definition, render: &Plain, held };
        let decision = issue_all(rules, decide(rules, &self.saga, input, self.now));
        if !decision.facts.is_empty() {
            self.journal.push(Transition { now: self.now, facts: decision.facts.clone() });
        }
        self.saga = decision.saga.clone();
        decision
    }

    pub(crate) fn place(&self, step: &str) -> StepIx {
        self.definition.place_of(step).expect("a step of the definition")
    }

    /// An answer to an attempt of a step.
    pub(crate) fn reply(&mut self, step: &str, action: Action, attempt: u16, answer: Answer) -> Decision {
        let command_id = command_id(self.saga.id, self.place(step), action, attempt);
        let (topic, saga_id) = (Arc::clone(&self.definition.reply_topic), self.saga.id);
        self.input(&Input::Reply(Reply { topic, saga_id, command_id, answer }))
    }

    /// Nobody but an answer or a person moves it.
    pub(crate) fn is_still(&self) -> bool {
        next_due(&self.definition, &self.saga).is_none() && ready(&self.saga).next().is_none()
    }

    /// Success of the first attempt of each of these steps.
    pub(crate) fn succeed(&mut self, steps: &str) {
        for step in steps.split_whitespace() {
            self.reply(step, Action::Do, 1, success());
        }
    }

    /// Time passes, and the saga is woken; every reply has been read.
    pub(crate) fn pass(&mut self, millis: u64) -> Decision {
        self.now = self.now.plus_millis(millis);
        self.input(&Input::Timer { replies_read_until: self.now, acknowledged: true })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.saga.phase
    }

    /// Commands in the order in which they were issued, such as `do order 1`.
    pub(crate) fn issued(&self) -> Vec<String> {
        let facts = self.journal.iter().flat_map(|row| &row.facts);
        let issued = facts.filter_map(|fact| {
            let Fact::Issued { step, action, attempt, .. } = fact else { return None };
            Some(format!("{} {} {attempt}", action.name(), self.definition.step(*step).name))
        });
        issued.collect()
    }

    /// The fold of the journal says what the live saga says.
    pub(crate) fn check_fold(&self) {
        let folded = fold(&self.definition, self.saga.id, &self.journal).expect("it folds");
        assert_eq!(folded, self.saga);
    }

    /// The online checks find nothing: the row that Postgres would hold is what the journal folds to, and undos are in order.
    pub(crate) fn check_online(&self) {
        let saga = &self.saga;
        let row = SagaRow {
            id: saga.id,
            definition_hash: saga.definition,
            definition_name: Arc::clone(&self.definition.name),
            business_key: Arc::clone(&saga.business_key),
            phase: saga.phase,
            started_at: saga.started_at,
            finished_at: saga.finished_at,
            wake_at: next_due(&self.definition, saga),
            error: saga.error.as_ref().map(|error| serde_json::to_string(error).unwrap()),
        };
        let findings = check(&self.definition, &row, &self.journal, self.now);
        assert_eq!((findings.differences, findings.out_of_order), (Vec::new(), Vec::new()), "{:?}", self.journal);
    }
}
