//! The definitions of `sagas/`, compiled once, and sagas of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use sagabus::core::{Decision, Json, Timestamp, Transition, Trigger, fold, issue_all, saga_id, start};
use sagabus::definition::{Compiled, Source};

macro_rules! example {
    ($name:literal, $($schema:literal),*) => {
        Source {
            file: concat!($name, ".saga.yaml").to_owned(),
            yaml: include_str!(concat!("../../sagas/", $name, ".saga.yaml")).to_owned(),
            schemas: BTreeMap::from([$((
                concat!("../schemas/", $name, "/", $schema).to_owned(),
                include_str!(concat!("../../schemas/", $name, "/", $schema)).to_owned(),
            )),*]),
        }
    };
}

fn sources() -> [Source; 4] {
    [
        example!("device-rollout", "firmware.json", "provisioned.json", "rollout.requested.json"),
        example!("media-publish", "media.uploaded.json", "transcode.json", "transcoded.json"),
        example!("order-fulfilment", "order.placed.json", "payment.json", "paymentTaken.json", "stock.json"),
        example!("trade-settlement", "booking.json", "order.accepted.json", "reservation.json"),
    ]
}

thread_local! {
    static EXAMPLES: RefCell<Option<Rc<[Compiled]>>> = const { RefCell::new(None) };
}

/// The examples, in the order of their names.
pub(crate) fn examples() -> Rc<[Compiled]> {
    EXAMPLES.with_borrow_mut(|kept| {
        let compile =
            || sources().iter().map(|source| Compiled::load(source).expect("the examples are right")).collect();
        Rc::clone(kept.get_or_insert_with(compile))
    })
}

/// A trigger of the plan's type with these data.
pub(crate) fn trigger(plan: &Compiled, data: Json) -> Trigger {
    let definition = plan.definition();
    Trigger {
        topic: Arc::clone(&definition.trigger_topic),
        partition: 0,
        offset: 7,
        timestamp: Timestamp::from_millis(1_700_000_000_000),
        id: Some(Arc::from("t-1")),
        kind: Arc::clone(&definition.trigger_type),
        data,
        traceparent: None,
        tracestate: None,
    }
}

/// Starts a saga and issues what is ready.
///
/// # Panics
/// Its journal, written and read back, does not fold to it.
pub(crate) fn begin(plan: &Compiled, key: &str, trigger: Trigger) -> Decision {
    let now = trigger.timestamp;
    let id = saga_id(&plan.definition().name, key, now);
    let decision = issue_all(plan.rules(), start(plan.rules(), id, Arc::from(key), trigger, now));
    let row = Transition { now, facts: decision.facts.clone() };
    let read = Transition::decode(&row.encode()).expect("what was written is read");
    assert_eq!(read, row, "a journal row reads back as it was written");
    assert_eq!(fold(plan.definition(), id, &[read]).as_ref(), Ok(&decision.saga), "the fold is the saga");
    decision
}
