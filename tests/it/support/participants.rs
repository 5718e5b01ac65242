//! Participants in memory that keep the contract, but for what their script tells them, with a ledger of their effects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sagabus::bus::MemoryBroker;
use sagabus::core::{Action, Answer, Json, Outcome, Timestamp};
use sagabus::wire::{self, Event, Received};
use uuid::Uuid;

/// What a participant does with one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Does it and answers.
    Answers,
    /// Refuses it for good.
    Fails,
    /// Refuses it for now, this many attempts long.
    FailsAtFirst(u16),
    /// Never answers, and does nothing.
    Silent,
    /// Does it and never answers.
    LosesItsAnswer,
    /// Does it and answers twice.
    AnswersTwice,
    /// Does it, and answers this much later, whatever is asked meanwhile.
    AnswersLate(u64),
}

/// Tells what to do with a command: by business key, step and direction.
pub(crate) type Script = Box<dyn Fn(&Received) -> Behaviour>;

/// All participants of a world.
pub(crate) struct Participants {
    broker: MemoryBroker,
    script: Script,
    read: BTreeMap<(Arc<str>, i32), i64>,
    stored: BTreeMap<Uuid, Option<Answer>>,
    closed: BTreeSet<(Uuid, Arc<str>)>,
    delayed: Vec<(Timestamp, Received, Answer)>,
    /// Effects by saga and step: a `do` counts 1, its undo takes it back.
    pub(crate) ledger: BTreeMap<(Uuid, Arc<str>), i64>,
    /// Every first delivery of a command, in order.
    pub(crate) seen: Vec<Received>,
}

impl Participants {
    pub(crate) fn new(broker: MemoryBroker, script: Script) -> Self {
        Self {
            broker,
            script,
            read: BTreeMap::new(),
            stored: BTreeMap::new(),
            closed: BTreeSet::new(),
            delayed: Vec::new(),
            ledger: BTreeMap::new(),
            seen: Vec::new(),
        }
    }

    /// Handles every command that has arrived on these topics.
    pub(crate) fn run(&mut self, topics: &[Arc<str>], now: Timestamp) {
        for topic in topics {
            for record in self.broker.records(topic) {
                let place = (Arc::clone(record.topic()), record.partition());
                let next = self.read.entry(place).or_insert(0);
                if record.offset() < *next {
                    continue;
                }
                *next = record.offset() + 1;
                let event = Event::read(&record).expect("commands are well formed");
                let command = wire::received(&record, &event).expect("commands are well formed");
                self.handle(command, now);
            }
        }
        let (due, later) = std::mem::take(&mut self.delayed).into_iter().partition(|(at, ..)| *at <= now);
        self.delayed = later;
        let due: Vec<(Timestamp, Received, Answer)> = due;
        for (_, command, answer) in due {
            self.answer(&command, &answer);
        }
    }

    fn handle(&mut self, command: Received, now: Timestamp) {
        if let Some(stored) = self.stored.get(&command.id) {
            if let Some(answer) = stored.clone() {
                self.answer(&command, &answer);
            }
            return;
        }
        self.seen.push(command.clone());
        let behaviour = (self.script)(&command);
        let outcome = self.perform(&command, behaviour);
        let Some(answer) = outcome else { return };
        match behaviour {
            Behaviour::LosesItsAnswer => _ = self.stored.insert(command.id, None),
            Behaviour::AnswersLate(millis) => {
                self.stored.insert(command.id, None);
                self.delayed.push((now.plus_millis(millis), command, answer));
            }
            Behaviour::AnswersTwice => {
                self.stored.insert(command.id, Some(answer.clone()));
                self.answer(&command, &answer);
                self.answer(&command, &answer);
            }
            Behaviour::Answers | Behaviour::Fails | Behaviour::FailsAtFirst(_) | Behaviour::Silent => {
                self.stored.insert(command.id, Some(answer.clone()));
                self.answer(&command, &answer);
            }
        }
    }

    /// The barrier's rules (CONTRACT.md section 5), and the effect.
    fn perform(&mut self, command: &Received, behaviour: Behaviour) -> Option<Answer> {
        let step = (command.saga_id, Arc::clone(&command.step));
        let id = Arc::from(Uuid::new_v5(&command.id, b"answer").to_string());
        let done = |without_effect| Answer {
            id: Arc::clone(&id),
            outcome: Outcome::Success,
            data: reply_data(command),
            code: None,
            retryable: false,
            without_effect,
        };
        let failed = |code: &str, retryable| Answer {
            id: Arc::clone(&id),
            outcome: Outcome::Failure,
            data: Json::parse(br#"{"message":"no"}"#).unwrap(),
            code: Some(code.into()),
            retryable,
            without_effect: false,
        };
        let attempt = command.attempt;
        match (command.action, behaviour) {
            (_, Behaviour::Silent) => None,
            (_, Behaviour::Fails) => Some(failed("REFUSED", false)),
            (_, Behaviour::FailsAtFirst(attempts)) if attempt <= attempts => Some(failed("BUSY", true)),
            (Action::Do, _) if self.closed.contains(&step) => Some(failed("saga.step_closed", false)),
            (Action::Do, _) => {
                let effects = self.ledger.entry(step).or_insert(0);
                *effects += 1;
                assert_eq!(*effects, 1, "a second effect of step {}", command.step);
                Some(done(false))
            }
            (Action::Undo, _) => {
                self.closed.insert(step.clone());
                let effects = self.ledger.entry(step).or_insert(0);
                let nothing = *effects == 0;
                *effects = 0;
                Some(done(nothing))
            }
        }
    }

    fn answer(&self, command: &Received, answer: &Answer) {
        self.broker.publish(&wire::answer(command, "test", answer));
    }

    /// Steps of a saga whose effect is there.
    pub(crate) fn effects_of(&self, saga: Uuid) -> Vec<String> {
        let there = self.ledger.iter().filter(|((id, _), count)| *id == saga && **count != 0);
        there.map(|((_, step), _)| step.to_string()).collect()
    }
}

/// A reply that fits every example's schemas.
fn reply_data(command: &Received) -> Json {
    let short = &command.id.to_string()[..8];
    let text =
        format!(r#"{{"reservationId":"r-{short}","paymentId":"p-{short}","assetId":"a-{short}","slot":"s-{short}"}}"#);
    Json::parse(text.as_bytes()).unwrap()
}
