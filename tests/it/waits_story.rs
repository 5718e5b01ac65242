//! A refund waits for a person and for goods, on a real Postgres: approved, rejected and signalled at the console and at a server, answered by a
//! service.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::Arc;

use sagabus::core::{Answer, Json, Outcome};
use sagabus::definition::{Compiled, Source};
use sagabus::engine::wall_clock;
use sagabus::operations::Role;
use sagabus::wire::{self, Event, Received};

use super::cli::{code, error, out, sagabus};
use super::remote::at_server;
use super::support::listening::Listening;
use super::support::participants::Behaviour;
use super::verify::Busy;

struct Story {
    busy: Busy,
    listening: Listening,
}

impl Story {
    async fn begin() -> Self {
        let yaml = include_str!("../../examples/refund.saga.yaml").to_owned();
        let source = Source { file: "refund.saga.yaml".to_owned(), yaml, schemas: BTreeMap::new() };
        let plan = Arc::new(Compiled::load(&source).unwrap_or_else(|report| panic!("{report}")));
        let busy = Busy::with("waits_story", vec![(source, plan)], Box::new(|_| Behaviour::Answers)).await;
        let listening = Listening::guarded(&busy.database).await;
        Self { busy, listening }
    }

    fn straight(&self, arguments: &[&str]) -> Output {
        sagabus(Some(&self.busy.database.url), arguments)
    }

    fn at_server(&self, role: Role, arguments: &[&str]) -> Output {
        let server = format!("http://{}", self.listening.address);
        at_server(&server, self.listening.of(role), arguments).output().unwrap()
    }

    /// What an engine has to decide: it runs meanwhile.
    async fn decided(&mut self, ask: impl Fn(&Self) -> std::process::Command) -> Output {
        let mut child =
            ask(self).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            self.busy.turn().await;
        }
        child.wait_with_output().unwrap()
    }

    /// The notices of this type, as a service reads them.
    fn notices(&self, kind: &str) -> Vec<Received> {
        let records = self.busy.world.broker.records("refund.events");
        let events = records.iter().map(|record| (record, Event::read(record).unwrap()));
        let of_kind = events.filter(|(record, _)| {
            record.headers().any(|(name, value)| name == "ce_type" && value == Some(kind.as_bytes()))
        });
        of_kind.map(|(record, event)| wire::received(record, &event).unwrap()).collect()
    }

    /// An answer that was put aside becomes no approval by being bound or edited.
    async fn no_record_that_a_person_made_approves(&mut self, key: &str) {
        let mut notice = self.notices(APPROVAL).into_iter().find(|notice| &*notice.key == key).unwrap();
        let (saga, id) = (notice.saga_id, notice.id);
        notice.id = uuid::Uuid::from_u128(7);
        self.busy.world.broker.publish(&wire::answer(&notice, "stranger", &yes()));
        self.until("an orphan", |story| out(&story.straight(&["parked", "list", "--output", "name"])).trim() == "1")
            .await;
        let bind = ["parked", "bind", "1", "--saga", key, "--step", "approval", "--reason", "r", "--yes"];
        let header = format!("ce_causationid={id}");
        let edit = ["parked", "edit", "1", "--header", &header, "--reason", "r", "--yes"];
        for words in [bind.as_slice(), &edit] {
            for role in [Role::Operator, Role::Approver] {
                ends(&self.at_server(role, words), 4, &format!("step approval of saga {saga} waits for an approval"));
            }
            ends(&self.straight(words), 4, "use sagabus approve or reject");
        }
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = wall_clock().plus_millis(30_000);
        while !is_so(self) {
            assert!(wall_clock() < until, "{what}");
            self.busy.turn().await;
        }
    }

    async fn ended(&mut self, phase: &str, count: usize) {
        let phase = format!("phase={phase}");
        self.until(&phase, |story| {
            let listed = story.straight(&["list", "--where", &phase, "--output", "json"]);
            serde_json::from_slice::<Vec<serde_json::Value>>(&listed.stdout).unwrap().len() == count
        })
        .await;
    }
}

fn ends(output: &Output, exit: i32, word: &str) {
    let said = format!("{}{}", out(output), error(output));
    assert!(code(output) == exit && said.contains(word), "exit {} instead of {exit}, {word}: {said}", code(output));
}

fn command(story: &Story, words: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sagabus"));
    command.args(words).env("SAGABUS_DATABASE_URL", &story.busy.database.url);
    command
}

fn served(story: &Story, role: Role, words: &[&str]) -> std::process::Command {
    at_server(&format!("http://{}", story.listening.address), story.listening.of(role), words)
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
    let mut story = Story::begin().await;
    let plan = Arc::clone(&story.busy.world.plans[0]);
    for key in ["k1", "k2", "k3"] {
        story.busy.world.trigger(&plan, key);
    }
    story.until("three notices", |story| story.notices(APPROVAL).len() == 3).await;
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
        let refused = story.decided(|story| served(story, role, &around)).await;
        ends(&refused, 4, "step approval waits for an approval: use approve or reject");
    }
    story.no_record_that_a_person_made_approves("k2").await;
    let tried = story.straight(&["approve", "k1", "approval", "--reason", "r", "--dry-run"]);
    ends(&tried, 0, "refund.goods.awaited");
    ends(&story.decided(|story| served(story, Role::Approver, &approve)).await, 0, "");
    let reject = ["reject", "k2", "approval", "--code", "TOO_MUCH", "--reason", "above the limit", "--yes"];
    ends(&story.decided(|story| command(story, &reject)).await, 0, "decided: reject");
    story.ended("compensated", 1).await;
    ends(&story.straight(&["explain", "k2"]), 0, "it began to fail at approval: TOO_MUCH");

    // A service that asks people answers as any participant does.
    let notice = story.notices(APPROVAL).into_iter().find(|notice| &*notice.key == "k3").unwrap();
    assert_eq!(notice.data.get(), r#"{"orderId":"k3","amount":100,"account":"a"}"#);
    story.busy.world.broker.publish(&wire::answer(&notice, "desk", &yes()));

    story.until("both wait for goods", |story| story.notices(GOODS).len() == 2).await;
    ends(&story.straight(&["explain", "k3"]), 0, "waiting for a signal");
    for key in ["k1", "k3"] {
        let signal = ["signal", key, "goodsBack", "--data", r#"{"dock":7}"#, "--reason", "seen at the gate", "--yes"];
        ends(&story.decided(|story| served(story, Role::Operator, &signal)).await, 0, "");
    }
    story.ended("completed", 2).await;
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
    let again = story.decided(|story| command(story, &approve)).await;
    ends(&again, 4, "it has ended");
}
