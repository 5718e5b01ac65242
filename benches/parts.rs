//! What is measured: the parts of the line on their own, and the line as a whole over memory, for sagas of five steps in a chain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sagabus::bus::{From, MemoryBroker, MemoryBus};
use sagabus::core::{
    Action, Answer, Decision, Effect, Input, Json, Outcome, Reply, Saga, StepIx, Timestamp, Transition, Trigger,
    command_id, decide, effects, fold, issue_all, saga_id, start,
};
use sagabus::definition::{Compiled, Source};
use sagabus::dispatch::Ready;
use sagabus::engine::{Clock, Engine, Settings, Stop};
use sagabus::store::{DefinitionRow, MemoryDatabase, MemoryStore};
use sagabus::wire::{self, Event, Outgoing, Record};
use uuid::Uuid;

/// Commands of a full batch.
const READY: u32 = 500;
/// Data of a command that are a plain path.
pub const PATH: &str = "\"${trigger.data}\"";
/// Data of a command that an expression makes.
pub const CEL: &str = "{total: \"${trigger.data.amount * 2 + 1}\"}";
/// Sagas that go down the whole line.
const SAGAS: usize = 100;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A definition of five steps in a chain, whose commands carry `data`.
pub fn chain(data: &str) -> (Source, Arc<Compiled>) {
    let step = |n: u16| {
        let after = if n == 1 { String::new() } else { format!("after: [s{}], ", n - 1) };
        format!("  s{n}: {{{after}command: {{type: do, data: {data}}}, compensate: {{type: undo}}}}\n")
    };
    let steps: String = (1..=5).map(step).collect();
    let yaml = format!(
        "saga: v1\nname: chain\nversion: 1\ntrigger: {{topic: chain.triggers, type: go}}\nbusinessKey: ${{trigger.data.id}}\nsteps:\n{steps}"
    );
    let source = Source { file: "chain.saga.yaml".to_owned(), yaml, schemas: BTreeMap::new() };
    let plan = Compiled::load(&source).expect("a definition without faults");
    (source, Arc::new(plan))
}

/// Data of half a kilobyte.
fn trigger_data(key: &str) -> Json {
    let note = "n".repeat(400);
    Json::parse(format!(r#"{{"id":"{key}","amount":100,"note":"{note}"}}"#).as_bytes()).expect("it is JSON")
}

fn success() -> Answer {
    Answer {
        id: "018bcfe5-6800-7000-8000-000000000001".into(),
        outcome: Outcome::Success,
        data: Json::parse(br#"{"reservationId":"018bcfe5-6800-7000-8000-000000000001","at":"2026-11-26T12:00:00Z"}"#)
            .expect("it is JSON"),
        code: None,
        retryable: false,
        without_effect: false,
    }
}

/// Everything that is decided in the life of a saga that succeeds: one row an input.
pub fn decided(plan: &Compiled) -> Vec<Decision> {
    let trigger = Trigger {
        topic: "chain.triggers".into(),
        partition: 0,
        offset: 0,
        timestamp: NOW,
        id: Some("trigger".into()),
        kind: "go".into(),
        data: trigger_data("order-1"),
        traceparent: None,
        tracestate: None,
    };
    let rules = plan.rules();
    let id = saga_id("chain", "order-1", NOW);
    let mut decisions = vec![issue_all(rules, start(rules, id, "order-1".into(), trigger, NOW))];
    for step in 0..5 {
        let command_id = command_id(id, StepIx(step), Action::Do, 1);
        let reply = Reply { topic: "chain.replies".into(), saga_id: id, command_id, answer: success() };
        let saga = &decisions[decisions.len() - 1].saga;
        decisions.push(issue_all(rules, decide(rules, saga, &Input::Reply(reply), NOW)));
    }
    decisions
}

/// Commands that may go out, of as many sagas as a full batch has, not in their order; every tenth is an undo.
pub fn may_go() -> Vec<Ready> {
    let ready = |number: u32| Ready {
        saga_id: Uuid::from_u128(u128::from(number.wrapping_mul(0x9e37_79b9))),
        started_at: NOW.plus_millis(u64::from(number * 7_919 % READY)),
        step: StepIx(0),
        action: if number.is_multiple_of(10) { Action::Undo } else { Action::Do },
    };
    (0..READY).map(ready).collect()
}

/// The rows of a journal, as they are stored.
pub fn encoded(decisions: &[Decision]) -> Vec<Vec<u8>> {
    decisions.iter().map(|decision| Transition::encode_parts(decision.now, &decision.facts)).collect()
}

/// The saga of stored rows.
pub fn folded(plan: &Compiled, rows: &[Vec<u8>]) -> Saga {
    let journal: Vec<Transition> = rows.iter().map(|row| Transition::decode(row).expect("a row")).collect();
    fold(plan.definition(), saga_id("chain", "order-1", NOW), &journal).expect("a journal")
}

/// The records of everything that was decided, as they go to Kafka.
pub fn records(plan: &Compiled, decisions: &[Decision]) -> Vec<Outgoing> {
    let of = |decision: &Decision| {
        effects(plan.rules(), &decision.saga, decision.saga.seq, decision.now, &decision.facts, &decision.rendered)
    };
    let effects = decisions.iter().flat_map(of).map(|effect| effect.expect("it renders the same"));
    effects
        .map(|effect| match effect {
            Effect::Command(command) => wire::command(&command),
            Effect::Announcement(announcement) => wire::announcement(&announcement),
        })
        .collect()
}

/// A participant's answer as it is read from Kafka.
pub fn reply_record(plan: &Compiled) -> Record {
    let broker = MemoryBroker::default();
    broker.create("chain.replies", 1);
    broker.create("s1.commands", 1);
    broker.publish(&records(plan, &decided(plan)[..1])[0]);
    answer_all(&broker, "s1.commands");
    broker.records("chain.replies").remove(0)
}

/// What the record says.
pub fn read(record: &Record) -> Reply {
    let event = Event::read(record).expect("it is well formed");
    wire::reply(record, &event).expect("it is a reply")
}

/// Every command of a topic is answered.
fn answer_all(broker: &MemoryBroker, topic: &str) {
    for record in broker.records(topic) {
        let event = Event::read(&record).expect("commands are well formed");
        let command = wire::received(&record, &event).expect("commands are well formed");
        broker.publish(&wire::answer(&command, "bench", &success()));
    }
}

/// A clock that moves when it is slept by.
#[derive(Debug, Default)]
struct StandingClock {
    micros: std::cell::Cell<i64>,
}

impl Clock for StandingClock {
    fn monotonic_micros(&self) -> i64 {
        self.micros.get()
    }

    async fn sleep(&self, duration: Duration) {
        self.micros.set(self.micros.get() + i64::try_from(duration.as_micros()).unwrap_or(i64::MAX));
    }
}

/// An engine over memory, and triggers that wait for it.
#[derive(Debug)]
pub struct Line {
    engine: Engine<MemoryStore, MemoryBus, StandingClock>,
    broker: MemoryBroker,
    database: MemoryDatabase,
}

impl Line {
    /// With the triggers of 100 sagas; the engine has looked at its definitions.
    pub fn begin() -> Self {
        let (source, plan) = chain(PATH);
        let (broker, database) = (MemoryBroker::default(), MemoryDatabase::default());
        database.set_now(NOW);
        broker.set_now(NOW);
        let definition = plan.definition();
        let (hash, name, version) = (definition.hash, Arc::clone(&definition.name), definition.version);
        database.deploy(&[DefinitionRow { hash, name, version, body: source.body() }], false).expect("a first version");
        let topics = ["chain.triggers", "chain.replies", "chain.events"].map(str::to_owned);
        for topic in topics.into_iter().chain((1..=5).map(|n| format!("s{n}.commands"))) {
            broker.create(&topic, 1);
        }
        let share = vec![(definition.trigger_topic.clone(), 0), (definition.reply_topic.clone(), 0)];
        let settings = Settings { instance: None, from: From::Earliest, seed: 1 };
        let engine = Engine::new(database.store(), broker.connect(share), StandingClock::default(), settings);
        let mut line = Self { engine, broker, database };
        line.turn();
        for number in 0..SAGAS {
            let key = format!("order-{number}");
            line.broker.publish(&wire::new_trigger("chain.triggers", &key, "go", &key, "/benches", trigger_data(&key)));
        }
        line
    }

    fn turn(&mut self) {
        for _ in 0..6 {
            pollster::block_on(self.engine.step(&Stop::default())).expect("the engine goes on");
        }
    }

    /// Every saga from its trigger to its end. Returns how many have ended.
    pub fn run(mut self) -> usize {
        self.turn();
        for step in 1..=5 {
            answer_all(&self.broker, &format!("s{step}.commands"));
            self.turn();
        }
        self.database.rows().iter().filter(|row| row.phase.is_final()).count()
    }
}

#[cfg(test)]
mod tests {
    use sagabus::core::Phase;

    use super::*;

    #[test]
    fn what_is_measured_does_what_it_says() {
        let (_, plan) = chain(PATH);
        let decisions = decided(&plan);
        assert_eq!(decisions.last().map(|decision| decision.saga.phase), Some(Phase::Completed));
        assert_eq!(folded(&plan, &encoded(&decisions)).phase, Phase::Completed);
        assert_eq!(records(&plan, &decisions[..5]).len(), 5, "a command each");
        assert_eq!(read(&reply_record(&plan)).answer.outcome, Outcome::Success);
        assert_eq!(Line::begin().run(), SAGAS);
    }
}
