//! A refund waits for a person and for goods, on a real Postgres: approved, rejected and signalled at the console and at a server, answered by a
//! service.

use std::collections::BTreeMap;
use std::sync::Arc;

use sagabus::core::{Answer, Json, Outcome};
use sagabus::definition::{Compiled, Source};
use sagabus::operations::Role;
use sagabus::wire::{self, Event, Received};

use super::cli::{error, out};
use super::console_story::act;
use super::story::{Story, ends};
use super::support::participants::Behaviour;
use super::verify::Busy;

/// The notices of this type, as a service reads them.
fn notices(story: &Story, kind: &str) -> Vec<Received> {
    let records = story.busy.world.broker.records("refund.events");
    let events = records.iter().map(|record| (record, Event::read(record).unwrap()));
    let of_kind = events.filter(|(record, _)| {
        record.headers().any(|(name, value)| name == "ce_type" && value == Some(kind.as_bytes()))
    });
    of_kind.map(|(record, event)| wire::received(record, &event).unwrap()).collect()
}

/// An answer that was put aside becomes no approval by being bound or edited.
async fn no_record_that_a_person_made_approves(story: &mut Story, key: &str) {
    let mut notice = notices(story, APPROVAL).into_iter().find(|notice| &*notice.key == key).unwrap();
    let (saga, id) = (notice.saga_id, notice.id);
    notice.id = uuid::Uuid::from_u128(7);
    story.busy.world.broker.publish(&wire::answer(&notice, "stranger", &yes()));
    story.until("an orphan", |story| out(&story.straight(&["parked", "list", "--output", "name"])).trim() == "1").await;
    let bind = ["parked", "bind", "1", "--saga", key, "--step", "approval", "--reason", "r", "--yes"];
    let header = format!("ce_causationid={id}");
    let edit = ["parked", "edit", "1", "--header", &header, "--reason", "r", "--yes"];
    for words in [bind.as_slice(), &edit] {
        for role in [Role::Operator, Role::Approver] {
            ends(&story.at_server(role, words), 4, &format!("step approval of saga {saga} waits for an approval"));
        }
        ends(&story.straight(words), 4, "use sagabus approve or reject");
    }
}

async fn ended(story: &mut Story, phase: &str, count: usize) {
    let phase = format!("phase={phase}");
    let are_there = |story: &Story| {
        let listed = story.straight(&["list", "--where", &phase, "--output", "json"]);
        serde_json::from_slice::<Vec<serde_json::Value>>(&listed.stdout).unwrap().len() == count
    };
    story.until(&phase, are_there).await;
}

async fn begin() -> Story {
    let yaml = include_str!("../../examples/refund.saga.yaml").to_owned();
    let source = Source { file: "refund.saga.yaml".to_owned(), yaml, schemas: BTreeMap::new() };
    let plan = Arc::new(Compiled::load(&source).unwrap_or_else(|report| panic!("{report}")));
    Story::begin(Busy::with("waits_story", vec![(source, plan)], Box::new(|_| Behaviour::Answers)).await).await
}

fn yes() -> Answer {
    Answer {
        id: "by-service".into(),
        outcome: Outcome::Success,
        data: Json::parse(br#"{"approvedBy":"desk"}"#).unwrap(),
        code: None,
        retryable: false,
        without_effect: false,
    }
}

const APPROVAL: &str = "refund.approval.asked";
const GOODS: &str = "refund.goods.awaited";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_waits_for_a_person_and_for_goods_and_goes_on_by_the_word_of_who_may() {
    let mut story = begin().await;
    let plan = Arc::clone(&story.busy.world.plans[0]);
    for key in ["k1", "k2", "k3"] {
        story.busy.world.trigger(&plan, key);
    }
    story.until("three notices", |story| notices(story, APPROVAL).len() == 3).await;
    let explained = story.straight(&["explain", "k1", "--time-format", "iso"]);
    ends(&explained, 0, "waiting for an approval since");
    ends(&explained, 0, "because approval was asked for on topic refund.events; next: the notice is sent again");
    ends(&explained, 0, "approval has failed, and the saga is undone");
    ends(&story.straight(&["show", "k1"]), 0, "approval");

    let listed = ["waiting", "--where", "key=k1*", "--time-format", "iso"];
    let (straight, at_server) = (story.straight(&listed), story.at_server(Role::Viewer, &listed));
    ends(&straight, 0, r#""account":"masked""#);
    assert_eq!(out(&straight), out(&at_server), "{}", error(&at_server));
    ends(&story.at_server(Role::Approver, &listed), 0, r#"{"orderId":"k1","amount":100,"account":"a"}"#);
    assert_eq!(out(&story.straight(&["waiting", "--output", "name"])).lines().count(), 3);

    let approve = ["approve", "k1", "approval", "--reason", "a good customer", "--yes"];
    ends(&story.at_server(Role::Operator, &approve), 1, "this needs the role approver");
    let around = ["complete", "k1", "approval", "--reply", "{}", "--reason", "r", "--yes"];
    for role in [Role::Operator, Role::Approver] {
        let refused = story.act_at_server(role, &around).await;
        ends(&refused, 4, "step approval waits for an approval: use approve or reject");
    }
    no_record_that_a_person_made_approves(&mut story, "k2").await;
    let tried = story.straight(&["approve", "k1", "approval", "--reason", "r", "--dry-run"]);
    ends(&tried, 0, "refund.goods.awaited");
    ends(&story.act_at_server(Role::Approver, &approve).await, 0, "");
    let reject = ["reject", "k2", "approval", "--code", "TOO_MUCH", "--reason", "above the limit", "--yes"];
    ends(&act(&mut story.busy, &reject).await, 0, "decided: reject");
    ended(&mut story, "compensated", 1).await;
    ends(&story.straight(&["explain", "k2"]), 0, "it began to fail at approval: TOO_MUCH");

    // A service that asks people answers as any participant does.
    let notice = notices(&story, APPROVAL).into_iter().find(|notice| &*notice.key == "k3").unwrap();
    assert_eq!(notice.data.get(), r#"{"orderId":"k3","amount":100,"account":"a"}"#);
    story.busy.world.broker.publish(&wire::answer(&notice, "desk", &yes()));

    story.until("both wait for goods", |story| notices(story, GOODS).len() == 2).await;
    ends(&story.straight(&["explain", "k3"]), 0, "waiting for a signal");
    for key in ["k1", "k3"] {
        let signal = ["signal", key, "goodsBack", "--data", r#"{"dock":7}"#, "--reason", "seen at the gate", "--yes"];
        ends(&story.act_at_server(Role::Operator, &signal).await, 0, "");
    }
    ended(&mut story, "completed", 2).await;
    let by: Vec<String> = story
        .busy
        .world
        .participants
        .seen
        .iter()
        .filter(|command| &*command.kind == "payment.refund")
        .map(|command| command.data.get().to_owned())
        .collect();
    assert_eq!(by.len(), 2);
    for word in [r#""approvedBy":"desk""#, "a good customer"] {
        assert!(by.iter().any(|data| data.contains(word)), "{word}: {by:?}");
    }
    ends(&story.straight(&["verify"]), 0, "");
    ends(&story.straight(&["replay", "verify"]), 0, "");
    let again = act(&mut story.busy, &approve).await;
    ends(&again, 4, "it has ended");
}
