//! Records put aside, over HTTP on a real Postgres with an engine at work: looked at, made right, bound, discarded.

use std::sync::Arc;

use sagabus::engine::wall_clock;
use sagabus::operations::Role;
use serde_json::{Value, json};

use super::api_bulk::{ends, post};
use super::support::http::Answer;
use super::support::listening::Listening;
use super::support::participants::{Behaviour, Script};
use super::support::world::trigger_data;
use super::verify::Busy;

const TRIGGERS: &str = "orders.events";
const REPLIES: &str = "trade-settlement.replies";
const PLACED: [(&str, Option<&[u8]>); 2] = [("ce_type", Some(b"order.accepted")), ("ce_id", Some(b"t1"))];
const PARKED: &str = "/v1/parked-messages";

struct Aside {
    busy: Busy,
    listening: Arc<Listening>,
}

impl Aside {
    async fn begin(name: &str, script: Script) -> Self {
        let busy = Busy::start(name, script).await;
        let listening = Arc::new(Listening::guarded(&busy.database).await);
        Self { busy, listening }
    }

    async fn until(&mut self, statement: &str, count: i64) {
        let until = wall_clock().plus_millis(30_000);
        while self.busy.database.count(statement).await < count {
            assert!(wall_clock() < until, "{statement}: {count}");
            self.busy.turn().await;
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.listening.get(self.listening.of(Role::Viewer), &format!("{PARKED}{path}")).await
    }

    async fn listed(&self, query: &str) -> Vec<i64> {
        let page = self.get(query).await.json();
        page["items"].as_array().unwrap().iter().map(|parked| parked["id"].as_i64().unwrap()).collect()
    }

    async fn act(&mut self, id: i64, query: &str, body: &Value) -> Answer {
        let path = format!("{PARKED}/{id}/actions{query}");
        let operator = self.listening.of(Role::Operator).to_owned();
        post(&mut self.busy, &self.listening, &operator, &path, None, &body.to_string()).await
    }

    /// The same with several at once.
    async fn act_together(&mut self, ids: &[i64], query: &str, with: &Value) -> Answer {
        let (path, body) = (format!("{PARKED}/actions{query}"), json!({"ids": ids, "with": with}));
        let operator = self.listening.of(Role::Operator).to_owned();
        post(&mut self.busy, &self.listening, &operator, &path, None, &body.to_string()).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_records_are_found_made_right_and_sent_again_in_their_order() {
    let mut aside = Aside::begin("api_parked", Box::new(|_| Behaviour::Answers)).await;
    for poison in ["{\"orderId\":", "{\"orderId\":7}"] {
        aside.busy.world.broker.publish_raw(TRIGGERS, Some(b"account-1"), Some(poison.as_bytes()), &PLACED);
    }
    aside.busy.world.broker.publish_raw(TRIGGERS, Some(b"account-2"), Some(b"poison"), &PLACED);
    aside.until("SELECT count(*) FROM parked_message", 3).await;

    // Found by what is known of them, a page each; shown whole.
    let found = aside.listed("?key=account-1&why=malformed&state=parked&topic=orders.events").await;
    let [second, first] = found[..] else { panic!("{found:?}") };
    assert!(second > first);
    for nothing in ["?topic=nowhere", "?key=account", "?why=orphan", "?state=redriven"] {
        assert_eq!(aside.listed(nothing).await, [] as [i64; 0], "{nothing}");
    }
    let page = aside.get("?pageSize=1&key=account-1").await.json();
    let token = page["nextPageToken"].as_str().unwrap().to_owned();
    assert_eq!(aside.listed(&format!("?pageSize=1&key=account-1&pageToken={token}")).await, [first]);
    ends("another filter", &aside.get(&format!("?pageSize=1&pageToken={token}")).await, 400, "invalid_request");
    ends("another state", &aside.get("?state=lost").await, 400, "invalid_request");
    let shown = aside.get(&format!("/{first}")).await.json();
    assert_eq!((&shown["value"], &shown["headers"][0][1]), (&"{\"orderId\":".into(), &"order.accepted".into()));
    ends("none", &aside.get("/999").await, 404, "not_found");
    ends("no number", &aside.get("/first").await, 400, "invalid_request");

    // The order of a key is kept; a trial writes nothing; as it is it is malformed again.
    let mended = |key: &str, headers: Value| json!({"action": "edit", "reason": "their serializer, INC-7", "value": trigger_data(key).get(), "headers": headers});
    let one = mended("order-a", json!({"x-mended": "yes", "x-gone": null}));
    ends("the second", &aside.act(second, "", &mended("order-b", json!({}))).await, 409, "refused");
    let tried = aside.act(first, "?dryRun=true", &one).await;
    assert_eq!((tried.status, &tried.json()["outcome"]), (200, &"tried".into()), "{tried:?}");
    assert_eq!(aside.busy.database.count("SELECT count(*) FROM redrive").await, 0);
    let as_it_is = aside.act(first, "", &json!({"action": "redrive", "reason": "try"})).await;
    ends("as it is", &as_it_is, 409, "refused");
    assert!(as_it_is.json()["detail"].as_str().unwrap().contains("put aside again, as malformed"), "{as_it_is:?}");
    ends("nothing", &aside.act(first, "", &json!({"action": "edit", "reason": "x"})).await, 400, "invalid_request");
    ends(
        "no reason",
        &aside.act(first, "", &json!({"action": "redrive", "reason": " "})).await,
        400,
        "invalid_request",
    );
    ends("none", &aside.act(999, "", &json!({"action": "redrive", "reason": "x"})).await, 404, "not_found");

    // Made right: both sagas begin, in the order of the log.
    for (id, body) in [(first, one), (second, mended("order-b", json!({})))] {
        let edited = aside.act(id, "", &body).await;
        assert_eq!((edited.status, &edited.json()["verdict"]), (200, &"applied".into()), "{edited:?}");
        ends("twice", &aside.act(id, "", &body).await, 409, "refused");
    }
    aside.until("SELECT count(*) FROM saga WHERE business_key IN ('order-a', 'order-b')", 2).await;
    let shown = aside.get(&format!("/{first}")).await.json();
    assert_eq!((&shown["state"], &shown["redrives"][1]["who"]), (&"redriven".into(), &"token:operator".into()));
    assert_eq!(aside.listed("?state=redriven").await, [second, first]);

    // Not needed: kept, and out of the way.
    let third = aside.listed("?state=parked").await[0];
    let discard = json!({"action": "discard", "reason": "a test of theirs"});
    assert_eq!(aside.act(third, "?dryRun=true", &discard).await.json()["outcome"], "tried");
    assert_eq!(aside.act(third, "", &discard).await.json()["outcome"], "discarded");
    ends("again", &aside.act(third, "", &discard).await, 409, "refused");
    assert_eq!(aside.listed("?state=discarded").await, [third]);
    let told = "SELECT count(*) FROM audit WHERE target LIKE 'parked message %' AND who = 'token:operator'";
    assert_eq!(aside.busy.database.count(told).await, 4, "a redrive, two edits, a discard");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_are_judged_or_discarded_by_one_request_or_none_is() {
    let mut aside = Aside::begin("api_parked_together", Box::new(|_| Behaviour::Answers)).await;
    for key in [b"1".as_slice(), b"2", b"3"] {
        aside.busy.world.broker.publish_raw(TRIGGERS, Some(key), Some(b"poison"), &PLACED);
    }
    aside.until("SELECT count(*) FROM parked_message", 3).await;
    let ids = aside.listed("").await;
    let [redrive, discard] = ["redrive", "discard"].map(|action| json!({"action": action, "reason": "INC-7"}));
    let again = aside.act_together(&ids[1..], "", &redrive).await.json();
    assert_eq!((again["redriven"].as_array().unwrap().len(), &again["discarded"]), (2, &json!([])), "{again}");
    assert!(again["redriven"][0]["staysParked"] == true && again["redriven"][0]["verdict"] == "malformed", "{again}");

    let missing = [ids.as_slice(), &[999]].concat();
    for (query, what) in [("", "one is missing"), ("?dryRun=true", "one is missing")] {
        ends(what, &aside.act_together(&missing, query, &discard).await, 404, "not_found");
    }
    ends("none", &aside.act_together(&[], "", &discard).await, 400, "invalid_request");
    let nothing = json!({"redriven": [], "discarded": [], "refused": []});
    assert_eq!(aside.act_together(&ids, "?dryRun=true", &discard).await.json(), nothing);
    assert_eq!(aside.listed("?state=parked").await, ids, "nothing is done yet");
    for (action, query, word) in [("discard", "", "takes no eachByItself"), ("redrive", "?dryRun=true", "is not tried")]
    {
        let body = json!({"ids": ids, "with": {"action": action, "reason": "r"}, "eachByItself": true}).to_string();
        let operator = aside.listening.of(Role::Operator);
        let answer = aside.listening.post(operator, &format!("{PARKED}/actions{query}"), &[], &body).await;
        assert!(answer.status == 400 && answer.body.contains(word), "{answer:?}");
    }
    let sweep = aside.get("/sweep?action=discard&why=malformed").await.json();
    let free = sweep["free"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap());
    assert_eq!(free.rev().collect::<Vec<i64>>(), ids, "in the order of their logs: {sweep}");
    assert_eq!(aside.get("/sweep?action=discard&force=true").await.status, 400);
    assert_eq!(aside.act(ids[0], "", &discard).await.status, 200);
    let mut others = aside.act_together(&ids, "", &discard).await.json()["discarded"].clone();
    others.as_array_mut().unwrap().sort_by_key(|id| std::cmp::Reverse(id.as_i64()));
    assert_eq!(others, json!(ids[1..]), "those that were parked");
    assert_eq!(aside.act_together(&ids, "", &discard).await.json(), nothing);
    let told = "SELECT count(*) FROM audit WHERE verb = 'discard' AND who = 'token:operator' AND outcome = 'decided'";
    assert_eq!(aside.busy.database.count(told).await, 3, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_by_itself_holds_up_those_of_its_key_behind_it() {
    let mut aside = Aside::begin("api_parked_behind", Box::new(|_| Behaviour::Answers)).await;
    for _ in 0..2 {
        aside.busy.world.broker.publish_raw(TRIGGERS, Some(b"1"), Some(b"poison"), &PLACED);
    }
    aside.until("SELECT count(*) FROM parked_message", 2).await;
    let [second, first] = aside.listed("").await[..] else { panic!("two") };
    aside.busy.database.run(&format!("UPDATE parked_message SET is_whole = false WHERE id = {first}")).await;
    let with = json!({"action": "redrive", "reason": "r"});
    let body = json!({"ids": [first, second], "with": with, "eachByItself": true}).to_string();
    let operator = aside.listening.of(Role::Operator);
    let acted = aside.listening.post(operator, &format!("{PARKED}/actions"), &[], &body).await.json();
    assert_eq!(acted["redriven"], json!([]));
    let refused = |at: usize| (acted["refused"][at]["id"].as_i64().unwrap(), &acted["refused"][at]["reason"]);
    assert_eq!(refused(0).0, first, "{acted}");
    assert_eq!(refused(1), (second, &"an earlier one of the same key waits".into()));
    assert_eq!(aside.busy.database.count("SELECT count(*) FROM redrive").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphan_is_bound_to_the_step_that_waits_for_it() {
    let silent: Script = Box::new(|command| match &*command.step {
        "order" => Behaviour::Silent,
        _ => Behaviour::Answers,
    });
    let mut aside = Aside::begin("api_bind", silent).await;
    aside.busy.trigger("order-9");
    aside.until("SELECT count(*) FROM saga", 1).await;
    let nobody = b"0199d3a0-0000-7000-8000-00000000dead".as_slice();
    let answer: Vec<(&str, Option<&[u8]>)> = vec![
        ("ce_specversion", Some(b"1.0")),
        ("ce_id", Some(b"r1")),
        ("ce_source", Some(b"/x")),
        ("ce_type", Some(b"x")),
        ("ce_sagaoutcome", Some(b"success")),
        ("ce_correlationid", Some(nobody)),
        ("ce_causationid", Some(nobody)),
    ];
    aside.busy.world.broker.publish_raw(REPLIES, Some(b"k"), Some(br#"{"reservationId":"r1"}"#), &answer);
    aside.until("SELECT count(*) FROM parked_message", 1).await;
    let id = aside.listed("?why=orphan").await[0];
    let bind = |saga: &str, step: &str| json!({"action": "bind", "reason": "asked them", "saga": saga, "step": step});
    ends("no such saga", &aside.act(id, "", &bind("order-8", "order")).await, 404, "not_found");
    ends("no such step", &aside.act(id, "", &bind("order-9", "oder")).await, 400, "invalid_request");
    ends("it does not wait", &aside.act(id, "", &bind("order-9", "risk")).await, 409, "refused");
    ends(
        "no step",
        &aside.act(id, "", &json!({"action": "bind", "reason": "x", "saga": "order-9"})).await,
        400,
        "invalid_request",
    );
    let bound = aside.act(id, "", &bind("order-9", "order")).await;
    assert_eq!((bound.status, &bound.json()["verdict"]), (200, &"applied".into()), "{bound:?}");
    aside.until("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL", 1).await;
}
