//! Bulk actions over HTTP on a real Postgres with an engine at work: planned, refused to who planned, applied, stopped, gone on, withdrawn.

use std::sync::Arc;

use sagabus::engine::wall_clock;
use sagabus::operations::Role;
use serde_json::Value;

use super::plan_story::{SAGAS, stuck};
use super::support::http::Answer;
use super::support::listening::{Listening, TRADE, insert_sagas};
use super::verify::Busy;

const PLANS: &str = "/v1/operations";
const RESOLVE: &str =
    r#"{"action":"resolve","step":"clearing","outcome":"undone","where":{"phase":"stuck","key":"bad-*"}}"#;

/// Sends a request while the engine is at work.
pub(super) async fn post(
    busy: &mut Busy,
    listening: &Arc<Listening>,
    token: &str,
    path: &str,
    matched: Option<&str>,
    body: &str,
) -> Answer {
    let (listening, token, path, body) = (Arc::clone(listening), token.to_owned(), path.to_owned(), body.to_owned());
    let matched = matched.map(str::to_owned);
    let request = tokio::spawn(async move {
        let headers: Vec<(&str, &str)> = matched.iter().map(|tag| ("if-match", tag.as_str())).collect();
        listening.post(&token, &path, &headers, &body).await
    });
    while !request.is_finished() {
        busy.turn().await;
    }
    request.await.unwrap()
}

/// An answer of this status, and the code of a problem.
pub(super) fn ends(what: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    let said = answer.json();
    assert_eq!(said["code"].as_str().unwrap_or_default(), code, "{what}: {said}");
}

/// People, and what they ask.
struct Bulk {
    busy: Busy,
    listening: Arc<Listening>,
    /// Operator, and two approvers.
    ada: String,
    grace: String,
    mary: String,
}

impl Bulk {
    async fn begin(name: &str) -> (Self, tokio::task::JoinSet<()>) {
        let (busy, worker) = stuck(name).await;
        let listening = Arc::new(Listening::guarded(&busy.database).await);
        let ada = listening.token("ada", Role::Operator, None).await;
        let grace = listening.token("grace", Role::Approver, None).await;
        let mary = listening.token("mary", Role::Approver, None).await;
        (Self { busy, listening, ada, grace, mary }, worker)
    }

    async fn get(&self, path: &str) -> Answer {
        self.listening.get(self.listening.of(Role::Viewer), path).await
    }

    /// Plans, and returns the plan with its ETag.
    async fn plan(&self, token: &str, body: &str) -> (Value, String) {
        let planned = self.listening.post(token, PLANS, &[], body).await;
        assert_eq!(planned.status, 201, "{planned:?}");
        let tag = planned.header("etag").unwrap().to_owned();
        let plan = planned.json();
        assert_eq!(tag, format!("\"{}\"", plan["hash"].as_str().unwrap()));
        let path = format!("{PLANS}/{}", plan["id"].as_str().unwrap());
        assert_eq!(planned.header("location"), Some(path.as_str()));
        let seen = self.get(&path).await;
        assert_eq!((seen.json(), seen.header("etag")), (plan.clone(), Some(tag.as_str())), "it is what was answered");
        (plan, tag)
    }

    async fn act(&self, token: &str, plan: &str, tag: Option<&str>, body: &str) -> Answer {
        let headers: Vec<(&str, &str)> = tag.iter().map(|tag| ("if-match", *tag)).collect();
        self.listening.post(token, &format!("{PLANS}/{plan}/actions"), &headers, body).await
    }

    /// The plan, once a job has ended or waits.
    async fn rests(&mut self, plan: &str) -> Value {
        let until = wall_clock().plus_millis(30_000);
        loop {
            let seen = self.get(&format!("{PLANS}/{plan}")).await.json();
            if seen["state"] != "applying" {
                return seen;
            }
            assert!(wall_clock() < until, "{plan} ends: {seen}");
            for _ in 0..20 {
                self.busy.turn().await;
            }
        }
    }

    /// All items of a plan, a page after the other.
    async fn items(&self, plan: &str, state: &str) -> Vec<Value> {
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{PLANS}/{plan}/items?pageSize=7{state}{next}")).await.json();
            found.extend(page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter().cloned());
            let Some(token) = page["nextPageToken"].as_str() else { return found };
            next = format!("&pageToken={token}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_what_would_be_done_and_is_refused_to_who_planned_it_and_to_who_means_another() {
    let (bulk, _worker) = Bulk::begin("api_bulk").await;
    bulk.listening.console.set_approval(20, "test", "two of us are on call").await.unwrap();

    // Tried: nothing is written. Planned: nothing is asked for, and the state has the same hash.
    let tried = bulk.listening.post(&bulk.ada, &format!("{PLANS}?dryRun=true"), &[], RESOLVE).await;
    assert_eq!((tried.status, &tried.json()["id"]), (200, &Value::Null), "{tried:?}");
    assert_eq!(bulk.busy.database.count("SELECT count(*) FROM plan").await, 0);
    let (plan, tag) = bulk.plan(&bulk.ada, RESOLVE).await;
    assert_eq!(
        (&plan["id"], &plan["eligible"], &plan["plannedBy"]),
        (&"p1".into(), &SAGAS.into(), &"token:ada".into())
    );
    assert_eq!(plan["selected"], "--where phase=stuck --where key=bad-*");
    assert_eq!((&plan["hash"], &plan["needsSecondPerson"]), (&tried.json()["hash"], &true.into()));
    assert_eq!(bulk.busy.database.count("SELECT count(*) FROM operation").await, 0);
    let items = bulk.items("p1", "").await;
    let ids: Vec<&str> = items.iter().map(|item| item["sagaId"].as_str().unwrap()).collect();
    assert!(ids.len() == SAGAS && ids.is_sorted() && ids[0] != ids[1], "each once, in order");
    assert_eq!(items[0]["effect"]["sends"][0]["step"], "order");
    assert_eq!(bulk.items("p1", "&state=applied").await.len(), 0);

    // Which plan is meant has to be said, and by whom it may be applied is judged.
    let apply = r#"{"action":"apply","reason":"INC-123","rate":"1/m"}"#;
    ends("no If-Match", &bulk.act(&bulk.grace, "p1", None, apply).await, 428, "precondition_required");
    let other = format!("\"{}\"", "0".repeat(64));
    ends("another hash", &bulk.act(&bulk.grace, "p1", Some(&other), apply).await, 412, "changed");
    ends("no hash", &bulk.act(&bulk.grace, "p1", Some("\"7\""), apply).await, 400, "invalid_request");
    ends("no such plan", &bulk.act(&bulk.grace, "p9", Some(&tag), apply).await, 404, "not_found");
    ends("an operator", &bulk.act(&bulk.ada, "p1", Some(&tag), apply).await, 403, "forbidden");
    let (_, of_mary) = bulk.plan(&bulk.mary, RESOLVE).await;
    ends("who planned", &bulk.act(&bulk.mary, "p2", Some(&of_mary), apply).await, 409, "refused");
    ends(
        "not applied",
        &bulk.act(&bulk.grace, "p1", Some(&tag), r#"{"action":"pause","reason":"x"}"#).await,
        409,
        "refused",
    );
    let told = "SELECT count(*) FROM audit WHERE verb = 'apply' AND (who, outcome) IN (('token:ada', 'denied'), ('token:mary', 'refused'))";
    assert_eq!(bulk.busy.database.count(told).await, 2);
    let path = format!("{PLANS}/p1/actions?dryRun=true");
    let tried = bulk.listening.post(&bulk.grace, &path, &[("if-match", &tag)], apply).await;
    assert_eq!((tried.status, &tried.json()["state"]), (200, &"planned".into()), "{tried:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_applied_by_another_stopped_let_go_on_and_withdrawn_and_the_next_one_does_the_rest() {
    let (mut bulk, _worker) = Bulk::begin("api_bulk_apply").await;
    bulk.listening.console.set_approval(20, "test", "two of us are on call").await.unwrap();
    let (_, tag) = bulk.plan(&bulk.ada, RESOLVE).await;
    let (_, of_mary) = bulk.plan(&bulk.mary, RESOLVE).await;
    let apply = r#"{"action":"apply","reason":"INC-123","rate":"1/m"}"#;

    // One saga goes, then it is stopped, let go on and withdrawn.
    let applied = bulk.act(&bulk.grace, "p1", Some(&tag), apply).await;
    assert_eq!((applied.status, &applied.json()["job"]["appliedBy"]), (200, &"token:grace".into()), "{applied:?}");
    let released = "SELECT count(*) FROM operation WHERE state = 'decided'";
    let until = wall_clock().plus_millis(30_000);
    while bulk.busy.database.count(released).await < 1 {
        assert!(wall_clock() < until, "the first saga goes");
        bulk.busy.turn().await;
    }
    for (action, state) in [("pause", "paused"), ("resume", "applying"), ("cancel", "cancelled")] {
        let body = format!(r#"{{"action":"{action}","reason":"INC-124"}}"#);
        let moved = bulk.act(&bulk.ada, "p1", Some(&tag), &body).await;
        assert_eq!((moved.status, &moved.json()["state"]), (200, &state.into()), "{action}: {moved:?}");
        ends(action, &bulk.act(&bulk.ada, "p1", Some(&tag), &body).await, 409, "refused");
    }
    // A job that goes on releases its next saga at once, so there may be a second one.
    let gone = bulk.get(&format!("{PLANS}/p1")).await.json()["job"]["released"].as_u64().unwrap();
    let left = SAGAS as u64 - gone;
    assert!((1..=2).contains(&gone), "{gone}");
    while bulk.items("p1", "&state=applied").await.len() as u64 != gone {
        assert!(wall_clock() < until, "what was asked for is decided");
        bulk.busy.turn().await;
    }
    assert_eq!(bulk.items("p1", "&state=skipped").await.len() as u64, left);

    // The plan of the state before refuses what has moved on, and does the rest.
    let fast = r#"{"action":"apply","reason":"INC-123","rate":"1000/s","stopOnErrorPercent":50}"#;
    let applied = bulk.act(&bulk.grace, "p2", Some(&of_mary), fast).await;
    assert_eq!(applied.status, 200, "{applied:?}");
    let ended = bulk.rests("p2").await;
    assert_eq!((&ended["state"], &ended["job"]["applied"]), (&"partial".into(), &left.into()), "{ended}");
    let refused = bulk.items("p2", "&state=refused").await;
    assert_eq!(refused.len() as u64, gone);
    assert!(refused[0]["message"].as_str().unwrap().contains("has moved on"), "{refused:?}");
    let by_grace = "SELECT count(*) FROM audit WHERE verb = 'resolve' AND who = 'token:grace' AND reason = 'INC-123'";
    let asked = i64::try_from(SAGAS as u64 + gone).unwrap();
    assert_eq!(bulk.busy.database.count(by_grace).await, asked, "also the refused ones");

    // Both are in the list, a page each.
    let first = bulk.get(&format!("{PLANS}?pageSize=1")).await.json();
    assert_eq!(first["items"][0]["id"], "p2");
    let token = first["nextPageToken"].as_str().unwrap();
    let second = bulk.get(&format!("{PLANS}?pageSize=1&pageToken={token}")).await.json();
    assert_eq!((&second["items"][0]["id"], &second["nextPageToken"]), (&"p1".into(), &Value::Null));
    for more in ["&jobsOnly=true", "&jobsOnly=maybe"] {
        let answer = bulk.get(&format!("{PLANS}?pageToken={token}{more}")).await;
        ends("a token of other plans", &answer, 400, "invalid_request");
    }
    ends(
        "a token of another list",
        &bulk.get(&format!("{PLANS}/p1/items?pageToken={token}")).await,
        400,
        "invalid_request",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_applies_a_small_plan_and_what_needs_an_approver_for_one_saga_needs_one_for_many() {
    let (mut bulk, _worker) = Bulk::begin("api_small").await;
    let abandon = r#"{"action":"abandon","sagas":["bad-00","bad-01"]}"#;
    let (plan, tag) = bulk.plan(&bulk.ada, abandon).await;
    assert_eq!((&plan["selected"], &plan["eligible"]), (&"2 named sagas".into(), &2.into()));
    let apply = r#"{"action":"apply","reason":"settled on paper"}"#;
    ends("abandon", &bulk.act(&bulk.ada, "p1", Some(&tag), apply).await, 403, "forbidden");
    assert_eq!(bulk.act(&bulk.grace, "p1", Some(&tag), apply).await.status, 200, "one may, also alone");
    assert_eq!(bulk.rests("p1").await["state"], "done");

    let group = bulk.get("/v1/failure-groups").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let resolve = format!(r#"{{"action":"resolve","step":"clearing","outcome":"undone","failure":"{group}"}}"#);
    let (plan, tag) = bulk.plan(&bulk.ada, &resolve).await;
    assert_eq!(plan["eligible"], SAGAS - 2);
    for (query, all) in [("", ["p2", "p1"].as_slice()), ("?jobsOnly=false", &["p2", "p1"]), ("?jobsOnly=true", &["p1"])]
    {
        let listed = bulk.get(&format!("{PLANS}{query}")).await.json();
        let ids: Vec<&str> =
            listed["items"].as_array().unwrap().iter().map(|plan| plan["id"].as_str().unwrap()).collect();
        assert_eq!(ids, all, "{query}");
    }
    let apply = r#"{"action":"apply","reason":"INC-123","rate":"1000/s","maxItems":5,"ramp":true}"#;
    assert_eq!(bulk.act(&bulk.ada, "p2", Some(&tag), apply).await.status, 200, "her own, since it is small");
    let ended = bulk.rests("p2").await;
    assert_eq!(
        (&ended["state"], &ended["job"]["applied"], &ended["job"]["max"]),
        (&"done".into(), &5.into(), &5.into())
    );
    ends("again", &bulk.act(&bulk.ada, "p2", Some(&tag), apply).await, 409, "refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_some_definitions_plans_and_applies_nothing_that_touches_others() {
    let (bulk, _worker) = Bulk::begin("api_bulk_scope").await;
    insert_sagas(&bulk.busy.database, "order-fulfilment", 10..12).await;
    let trade = bulk.listening.token("trade", Role::Approver, Some(&[TRADE])).await;
    let order = bulk.listening.token("order", Role::Approver, Some(&["order-fulfilment"])).await;
    let (_, mixed) = bulk.plan(&bulk.ada, r#"{"action":"abandon","sagas":["bad-00","k10"]}"#).await;
    let (_, own) = bulk.plan(&trade, r#"{"action":"retry","where":{"phase":"stuck"}}"#).await;
    let selected = bulk.get(&format!("{PLANS}/p2")).await.json()["selected"].clone();
    assert_eq!(selected, format!("--where phase=stuck of {TRADE}"));

    // A plan exists for who may see all of its sagas.
    let listed = async |token: &str| {
        let listed = bulk.listening.get(token, PLANS).await.json();
        listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|plan| plan["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&bulk.ada).await, ["p2", "p1"]);
    assert_eq!(listed(&trade).await, ["p2"]);
    assert_eq!(listed(&order).await, [] as [String; 0]);
    // Plans of before that was kept get it by the migration; until then they are nobody's who sees a part.
    bulk.busy.database.run("UPDATE plan SET definitions = '{}'").await;
    assert_eq!(listed(&trade).await, [] as [String; 0]);
    let migration = include_str!("../../migrations/0008_add_plan_definitions.sql");
    bulk.busy.database.run(migration.split(';').nth(1).unwrap()).await;
    assert_eq!((listed(&trade).await, listed(&order).await), (vec!["p2".to_owned()], Vec::new()));
    for (token, plan, tag) in [(&trade, "p1", &mixed), (&order, "p1", &mixed), (&order, "p2", &own)] {
        ends(plan, &bulk.listening.get(token, &format!("{PLANS}/{plan}")).await, 404, "not_found");
        ends(plan, &bulk.listening.get(token, &format!("{PLANS}/{plan}/items")).await, 404, "not_found");
        for action in ["apply", "cancel"] {
            let body = format!(r#"{{"action":"{action}","reason":"x"}}"#);
            ends(plan, &bulk.act(token, plan, Some(tag), &body).await, 404, "not_found");
        }
    }

    // Others' sagas cannot be planned, however they are said.
    let group = bulk.get("/v1/failure-groups").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let id = bulk.get("/v1/stuck?limit=1").await.json()["items"][0]["sagaId"].as_str().unwrap().to_owned();
    for said in [
        r#""where":{"phase":"stuck"}"#.to_owned(),
        format!(r#""where":{{"definition":"{TRADE}"}}"#),
        format!(r#""failure":"{group}""#),
        r#""sagas":["bad-00"]"#.to_owned(),
        format!(r#""sagas":["{id}"]"#),
    ] {
        let body = format!(r#"{{"action":"retry",{said}}}"#);
        ends(&said, &bulk.listening.post(&order, PLANS, &[], &body).await, 404, "not_found");
    }
    let (plan, _) = bulk.plan(&trade, &format!(r#"{{"action":"retry","failure":"{group}"}}"#)).await;
    assert_eq!(plan["eligible"], SAGAS);
    for wrong in
        [r#"{"action":"retry"}"#, r#"{"action":"retry","where":{}}"#, r#"{"action":"retry","where":{"phase":"lost"}}"#]
    {
        ends(wrong, &bulk.listening.post(&bulk.ada, PLANS, &[], wrong).await, 400, "invalid_request");
    }
    assert_eq!(bulk.busy.database.count("SELECT count(*) FROM plan").await, 3);
    let applied = bulk.act(&trade, "p2", Some(&own), r#"{"action":"apply","reason":"x","rate":"1/h"}"#).await;
    assert_eq!(applied.status, 200, "{applied:?}");
}
