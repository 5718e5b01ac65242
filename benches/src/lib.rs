//! A saga of five steps as the bench runs it, at every place that the hot path comes by.

use std::collections::BTreeMap;
use std::sync::Arc;

use sagabus::bench::Case;
use sagabus::core::{
    Action, Answer, Decision, Effect, Input, Json, Outcome, Reply, Saga, StepIx, Timestamp, Transition, Trigger,
    command_id, decide, effects, fold, issue_all, saga_id, start,
};
use sagabus::definition::{Compiled, Source, TriggerMatch};
use sagabus::wire::{self, Event, Outgoing, Record, RecordHead};

/// A definition, a trigger of half a kilobyte, and a saga that has come to its third step.
pub struct Given {
    plan: Compiled,
    trigger: Trigger,
    now: Timestamp,
    saga: Saga,
    journal: Vec<Transition>,
    encoded: Vec<Vec<u8>>,
    reply: Reply,
    answer: Record,
}

impl Given {
    /// Compiles and runs up to the third step.
    pub fn new() -> Self {
        let case = Case::ALL[0];
        let yaml = case.definition("bench");
        let source = Source { file: "bench.saga.yaml".to_owned(), yaml, schemas: BTreeMap::new() };
        let plan = Compiled::load(&source).expect("the bench's definition is right");
        let now = Timestamp::from_millis(1_700_000_000_000);
        let (_, records) = case.records("bench", 1, false);
        let trigger = read_trigger(&received(&records[0], now));
        let mut given = Self {
            saga: begun(&plan, &trigger, now).saga,
            journal: Vec::new(),
            encoded: Vec::new(),
            reply: reply(&plan, &begun(&plan, &trigger, now).saga, 0),
            answer: received(&records[0], now),
            plan,
            trigger,
            now,
        };
        given.come_to_third_step();
        given
    }

    fn come_to_third_step(&mut self) {
        let first = begun(&self.plan, &self.trigger, self.now);
        self.journal.push(Transition { now: self.now, facts: first.facts });
        for step in 0..2 {
            let decision = answered(&self.plan, &self.saga, reply(&self.plan, &self.saga, step), self.now);
            self.saga = decision.saga;
            self.journal.push(Transition { now: self.now, facts: decision.facts });
        }
        self.encoded = self.journal.iter().map(Transition::encode).collect();
        self.reply = reply(&self.plan, &self.saga, 2);
        let command = wire::received(&received(&self.command(), self.now), &event(&received(&self.command(), self.now)));
        let answer = wire::answer(&command.expect("it is a command"), "bench", &self.reply.answer);
        self.answer = received(&answer, self.now);
    }

    /// A trigger becomes a saga with its first command.
    pub fn start(&self) -> Decision {
        begun(&self.plan, &self.trigger, self.now)
    }

    /// An answer is decided, and the next command with it.
    pub fn decide(&self) -> Decision {
        answered(&self.plan, &self.saga, self.reply.clone(), self.now)
    }

    /// Three rows become a saga.
    pub fn fold(&self) -> Saga {
        fold(self.plan.definition(), self.saga.id, &self.journal).expect("it folds")
    }

    /// A row is encoded.
    pub fn encode(&self) -> Vec<u8> {
        self.journal[1].encode()
    }

    /// A row is decoded.
    pub fn decode(&self) -> Transition {
        Transition::decode(&self.encoded[1]).expect("it was encoded")
    }

    /// A command is rendered and becomes a record.
    pub fn command(&self) -> Outgoing {
        let row = self.journal.last().expect("it has begun");
        let found = effects(self.plan.rules(), &self.saga, self.saga.seq, self.now, &row.facts);
        match found.into_iter().next() {
            Some(Ok(Effect::Command(command))) => wire::command(&command),
            other => panic!("{other:?}"),
        }
    }

    /// An answer's record is read.
    pub fn read(&self) -> Reply {
        wire::reply(&self.answer, &event(&self.answer)).expect("it is an answer")
    }
}

impl Default for Given {
    fn default() -> Self {
        Self::new()
    }
}

fn event(record: &Record) -> Event {
    Event::read(record).expect("it was written so")
}

fn read_trigger(record: &Record) -> Trigger {
    wire::trigger(record, &event(record)).expect("it is a trigger")
}

fn received(record: &Outgoing, now: Timestamp) -> Record {
    let head = RecordHead { topic: Arc::clone(&record.topic), partition: 0, offset: 7, timestamp: now };
    let headers = record.headers.iter().map(|(name, value)| (*name, Some(value.as_bytes())));
    Record::new(head, Some(record.key.as_bytes()), Some(record.value.get().as_bytes()), headers)
}

fn begun(plan: &Compiled, trigger: &Trigger, now: Timestamp) -> Decision {
    let Ok(TriggerMatch::Start { business_key }) = plan.accepts(trigger) else { panic!("it is accepted") };
    let id = saga_id(&plan.definition().name, &business_key, trigger.timestamp);
    issue_all(plan.rules(), start(plan.rules(), id, business_key, trigger.clone(), now))
}

fn reply(plan: &Compiled, saga: &Saga, step: u16) -> Reply {
    let data = format!(r#"{{"reference":"{}"}}"#, "r".repeat(80));
    Reply {
        topic: Arc::clone(&plan.definition().reply_topic),
        saga_id: saga.id,
        command_id: command_id(saga.id, StepIx(step), Action::Do, 1),
        answer: Answer {
            id: "answer".into(),
            outcome: Outcome::Success,
            data: Json::parse(data.as_bytes()).expect("it is JSON"),
            code: None,
            retryable: false,
            without_effect: false,
        },
    }
}

fn answered(plan: &Compiled, saga: &Saga, reply: Reply, now: Timestamp) -> Decision {
    issue_all(plan.rules(), decide(plan.rules(), saga, &Input::Reply(reply), now))
}
