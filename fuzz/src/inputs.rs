//! Triggers and answers: what a record becomes, and what the rules then do with it.

use std::sync::Arc;

use sagabus::core::{
    Action, Answer, Input, Json, Outcome, Reply, Saga, Sha256, Timestamp, Transition, Trigger, Verdict, command_id,
    decide, fold, issue_all, limits,
};
use sagabus::definition::{Compiled, TriggerMatch};
use sagabus::wire::{self, Event, Received};

use super::examples::{begin, examples, trigger};
use super::framed::{Framed, consumed};

/// Tries a record in the form of `framed` as a trigger and as an answer.
pub fn inputs(bytes: &[u8]) {
    let record = Framed::read(bytes).record();
    let Ok(event) = Event::read(&record) else { return };
    if let Ok(reply) = wire::reply(&record, &event) {
        assert!(wire::is_reply(&event), "what reads as an answer says that it is one");
        answered(&reply);
    }
    if let Ok(read) = wire::trigger(&record, &event) {
        assert_eq!((read.timestamp, read.offset), (record.timestamp(), record.offset()));
        triggered(&read);
    }
}

fn is_word(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".:_-".contains(c);
    (1..=limits::ID_BYTES).contains(&text.len()) && text.chars().all(allowed)
}

fn answered(reply: &Reply) {
    let answer = &reply.answer;
    assert!(is_word(&answer.id), "{:?}", answer.id);
    assert_eq!(answer.code.is_some(), answer.outcome == Outcome::Failure, "a failure, and nothing else, has a code");
    assert!(answer.code.as_deref().is_none_or(is_word), "{:?}", answer.code);
    let stored = serde_json::to_vec(answer).expect("an answer is plain data");
    let back: Answer = serde_json::from_slice(&stored).expect("what was written is read");
    assert_eq!(&back, answer);
    assert_eq!(serde_json::to_vec(&back).expect("plain data"), stored, "an answer is stored byte for byte");
    let sent = wire::answer(&command_of(reply), "participant", answer);
    let record = consumed(&sent);
    if record.over_limits().is_none() {
        let event = Event::read(&record).expect("an answer that was sent is read");
        assert_eq!(
            wire::reply(&record, &event).as_ref(),
            Ok(reply),
            "an answer that was sent is the answer that is read"
        );
    }
    for plan in examples().iter() {
        decided(plan, reply);
    }
}

fn command_of(reply: &Reply) -> Received {
    Received {
        id: reply.command_id,
        saga_id: reply.saga_id,
        key: Arc::from("key"),
        kind: Arc::from("type"),
        step: Arc::from("step"),
        action: Action::Do,
        attempt: 1,
        reply_to: Arc::clone(&reply.topic),
        expires_at: None,
        traceparent: None,
        data: Json::empty_object(),
        data_hash: Sha256::of(b""),
    }
}

/// The answer, given to the first command of a saga: decided twice in the same way, kept once, and its journal folds.
fn decided(plan: &Compiled, reply: &Reply) {
    let definition = plan.definition();
    let data = r#"{"orderId":"k","mediaId":"k","deviceId":"k","account":"a","customer":"c","author":"u","firmware":"f1","amount":100,"seconds":90,"items":[{"sku":"s","quantity":1}]}"#;
    let begun = begin(plan, "k", trigger(plan, Json::parse(data.as_bytes()).expect("it is JSON")));
    let (saga, now) = (begun.saga, Timestamp::from_millis(1_700_000_000_500));
    let command_id = command_id(saga.id, definition.order[0], Action::Do, 1);
    let reply = Reply { topic: Arc::clone(&definition.reply_topic), saga_id: saga.id, command_id, ..reply.clone() };
    let decide = |saga: &Saga| issue_all(plan.rules(), decide(plan.rules(), saga, &Input::Reply(reply.clone()), now));
    let decision = decide(&saga);
    assert_eq!(decision, decide(&saga), "the same decision made twice is the same");
    assert_eq!(decision.refusal.is_some(), decision.verdict != Verdict::Applied);
    let rows = [Transition { now: begun.now, facts: begun.facts }, Transition { now, facts: decision.facts.clone() }];
    let kept = if decision.facts.is_empty() { 1 } else { 2 };
    assert_eq!(fold(definition, saga.id, &rows[..kept]).as_ref(), Ok(&decision.saga), "the fold is the saga");
    if reply.answer.outcome != Outcome::Progress {
        let again = decide(&decision.saga);
        assert_eq!(again.facts, [], "the same answer changes nothing the second time");
        assert_eq!(again.saga, decision.saga);
    }
}

fn triggered(read: &Trigger) {
    let is_printable = |text: &str| (1..=limits::ID_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    let words = [Some(&read.kind), read.id.as_ref(), read.traceparent.as_ref(), read.tracestate.as_ref()];
    assert!(words.into_iter().flatten().all(|word| is_printable(word)), "{read:?}");
    let id = read.id.as_deref().unwrap_or("none");
    let sent = wire::new_trigger(&read.topic, "key", &read.kind, id, "/source", read.data.clone()).at(read.timestamp);
    let record = consumed(&sent);
    let event = Event::read(&record).expect("a trigger that was sent is read");
    let back = wire::trigger(&record, &event).expect("a trigger that was sent is read");
    let expected = Trigger { id: Some(Arc::from(id)), traceparent: None, tracestate: None, ..read.clone() };
    assert_eq!(back, expected, "a trigger that was sent is the trigger that is read");
    for plan in examples().iter() {
        let Ok(TriggerMatch::Start { business_key }) = plan.accepts(read) else { continue };
        assert!(!business_key.is_empty() && business_key.len() <= limits::KEY_BYTES);
        assert!(!business_key.chars().any(char::is_control), "{business_key:?}");
        begin(plan, &business_key, read.clone());
    }
}
