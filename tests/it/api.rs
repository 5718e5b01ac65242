//! HTTP on a real Postgres: who is let in to what, pages, problems, actions, secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sagabus::api::{Listener, document};
use sagabus::operations::{Exit, Places, Role};
use serde_json::Value;
use uuid::Uuid;

use super::support::database::TestDatabase;
use super::support::http::{Answer, ask};
use super::support::listening::{Listening, TRADE, deploy, insert_sagas};
use super::support::log::Log;
use super::verify::{Busy, mixed};

const NOBODY: &str = "0199d3a0-0000-7000-8000-00000000dead";

/// Every route with the least role that it lets in, and whether it needs a token for all definitions.
const ROUTES: [(&str, &str, Role, bool); 40] = [
    ("GET", "/v1/sagas", Role::Viewer, false),
    ("GET", "/v1/sagas/count", Role::Viewer, false),
    ("GET", "/v1/sagas/{id}", Role::Viewer, false),
    ("GET", "/v1/sagas/{id}/journal", Role::Viewer, false),
    ("GET", "/v1/sagas/{id}/timeline", Role::Viewer, false),
    ("GET", "/v1/sagas/{id}/explanation", Role::Viewer, false),
    ("GET", "/v1/sagas/{id}/graph", Role::Viewer, false),
    ("GET", "/v1/sagas/{id}/difference", Role::Viewer, false),
    ("GET", "/v1/find", Role::Viewer, false),
    ("GET", "/v1/stuck", Role::Viewer, false),
    ("GET", "/v1/waiting", Role::Viewer, false),
    ("GET", "/v1/failure-groups", Role::Viewer, false),
    ("GET", "/v1/failure-groups/{id}", Role::Viewer, false),
    ("GET", "/v1/definitions", Role::Viewer, false),
    ("GET", "/v1/changes", Role::Viewer, false),
    ("GET", "/v1/holds", Role::Viewer, false),
    ("GET", "/v1/operations", Role::Viewer, false),
    ("GET", "/v1/operations/approval", Role::Viewer, false),
    ("GET", "/v1/operations/{id}", Role::Viewer, false),
    ("GET", "/v1/operations/{id}/items", Role::Viewer, false),
    ("GET", "/v1/parked-messages", Role::Viewer, true),
    ("GET", "/v1/parked-messages/sweep", Role::Viewer, true),
    ("GET", "/v1/parked-messages/{id}", Role::Viewer, true),
    ("GET", "/v1/locks", Role::Viewer, true),
    ("GET", "/v1/retention", Role::Viewer, true),
    ("GET", "/v1/retention/removable", Role::Viewer, true),
    ("POST", "/v1/sagas", Role::Operator, false),
    ("POST", "/v1/sagas/{id}/actions", Role::Operator, false),
    ("POST", "/v1/operations", Role::Operator, false),
    ("POST", "/v1/operations/{id}/actions", Role::Operator, false),
    ("POST", "/v1/parked-messages/{id}/actions", Role::Operator, true),
    ("POST", "/v1/parked-messages/actions", Role::Operator, true),
    ("POST", "/v1/holds", Role::Operator, true),
    ("POST", "/v1/holds/{id}/release", Role::Operator, true),
    ("GET", "/v1/tokens", Role::Admin, true),
    ("POST", "/v1/tokens", Role::Admin, true),
    ("POST", "/v1/tokens/{name}/revoke", Role::Admin, true),
    ("GET", "/v1/audit", Role::Admin, true),
    ("PUT", "/v1/operations/approval", Role::Admin, true),
    ("POST", "/v1/retention/steps", Role::Admin, true),
];

fn places(database: &TestDatabase) -> Places {
    Places { database_url: Some(database.url.clone()), ..Places::default() }
}

#[test]
fn the_document_is_the_one_that_is_kept() {
    let kept = "tests/golden/openapi.json";
    let written = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(kept, &written).unwrap();
    }
    let is_kept = std::fs::read_to_string(kept).is_ok_and(|text| text == written);
    assert!(is_kept, "{kept} is another one: look at the difference, then INSTA_UPDATE=always");
    assert!(written.contains("\"openapi\": \"3.1"));
}

/// Operations of the document: method and path, with the role that it names.
fn documented() -> BTreeMap<(String, String), String> {
    let document = serde_json::to_value(document()).unwrap();
    let mut found = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if path.starts_with("/v1/") {
                let role = operation["security"][0]["bearer"][0].as_str().unwrap_or("none").to_owned();
                found.insert((method.to_uppercase(), path.clone()), role);
            }
        }
    }
    found
}

async fn try_route(listening: &Listening, method: &str, path: &str, token: Option<&str>) -> Answer {
    let path = path.replace("{id}", NOBODY).replace("{name}", "nobody");
    let path = if path == "/v1/find" { "/v1/find?q=nothing".to_owned() } else { path };
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    // An empty object is a request that no route accepts: whoever is let in is told so, and nothing happens.
    let body = (method != "GET").then_some("{}");
    ask(listening.address, method, &path, &headers, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_is_tried_as_every_role() {
    let table: BTreeMap<(String, String), String> = ROUTES
        .iter()
        .map(|(method, path, role, _)| (((*method).to_owned(), (*path).to_owned()), role.name().to_owned()))
        .collect();
    assert_eq!(documented(), table, "each route is in the table of this test, with its role");

    let database = TestDatabase::migrated("api_roles").await;
    deploy(&database).await;
    let listening = Listening::guarded(&database).await;
    let scoped = listening.token("scoped", Role::Admin, Some(&[TRADE])).await;
    let mut denied = 0;
    for (method, path, least, whole) in ROUTES {
        let without = try_route(&listening, method, path, None).await;
        assert_eq!(without.status, 401, "{method} {path}: {without:?}");
        assert_eq!(without.header("www-authenticate"), Some("Bearer"));
        assert_eq!(try_route(&listening, method, path, Some("sagabus_00")).await.status, 401, "{method} {path}");
        for role in Role::ALL {
            let answer = try_route(&listening, method, path, Some(listening.of(role))).await;
            let is_let_in = !matches!(answer.status, 401 | 403);
            assert_eq!(is_let_in, role >= least, "{method} {path} as {role}: {answer:?}");
            assert!(answer.status < 500, "{method} {path} as {role}: {answer:?}");
            denied += i64::from(!is_let_in);
        }
        let answer = try_route(&listening, method, path, Some(&scoped)).await;
        assert_eq!(answer.status == 403, whole, "{method} {path} for some definitions: {answer:?}");
        denied += i64::from(whole);
    }
    assert!(denied > 15, "{denied}");
    assert_eq!(database.count("SELECT count(*) FROM audit WHERE outcome = 'denied'").await, denied, "each is told");
    for open in ["/version", "/openapi.json", "/healthz", "/metrics"] {
        assert_eq!(ask(listening.address, "GET", open, &[], None).await.status, 200, "{open}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_good_until_it_is_revoked_and_the_first_one_closes_the_door() {
    let database = TestDatabase::migrated("api_tokens").await;
    let listening = Listening::on(&database).await;
    let local = |headers: &'static [(&str, &str)]| ask(listening.address, "GET", "/v1/sagas", headers, None);
    assert_eq!(local(&[]).await.status, 200, "on this machine, as long as there is no token");
    assert_eq!(local(&[("host", "evil.example")]).await.status, 403, "a foreign name for this machine");
    let places = places(&database);
    let everywhere = || Listener::bind("0.0.0.0:0".parse().unwrap(), &places);
    let refused = everywhere().await.unwrap_err();
    assert_eq!(refused.exit, Exit::Usage);
    assert!(refused.hint.contains("sagabus tokens create"), "{refused}");

    let made = r#"{"name":"ada","role":"admin","reason":"first"}"#;
    for foreign in [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example")] {
        assert_eq!(ask(listening.address, "POST", "/v1/tokens", &[foreign], Some(made)).await.status, 403);
    }
    let made = ask(listening.address, "POST", "/v1/tokens", &[], Some(made)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(local(&[]).await.status, 401, "the first token closes the door");
    assert_eq!(listening.get(&token, "/v1/sagas").await.status, 200);
    assert!(everywhere().await.is_ok());

    let expired = r#"{"name":"bob","role":"viewer","expiresAt":"2020-01-01T00:00:00Z","reason":"old"}"#;
    let expired = listening.post(&token, "/v1/tokens", &[], expired).await.json()["token"].as_str().unwrap().to_owned();
    let answer = listening.get(&expired, "/v1/sagas").await;
    assert!(answer.status == 401 && answer.body.contains("expired"), "{answer:?}");
    let again = listening.post(&token, "/v1/tokens", &[], r#"{"name":"bob","role":"viewer","reason":"again"}"#).await;
    assert_eq!((again.status, &again.json()["code"]), (409, &"refused".into()), "a name is never given twice");
    assert_eq!(listening.post(&token, "/v1/tokens/ada/revoke", &[], r#"{"reason":"lost"}"#).await.status, 204);
    assert_eq!(listening.get(&token, "/v1/sagas").await.status, 401, "at once");
    assert_eq!(local(&[]).await.status, 401, "the door stays closed");
    let told = "SELECT count(*) FROM audit WHERE who = 'token:bob' AND outcome = 'denied' AND message LIKE '%expired'";
    assert_eq!(database.count(told).await, 1, "whose token it was is known");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_some_definitions_sees_no_others() {
    let database = TestDatabase::migrated("api_scope").await;
    deploy(&database).await;
    insert_sagas(&database, TRADE, 1..4).await;
    insert_sagas(&database, "order-fulfilment", 10..12).await;
    let others = database.count("SELECT count(*) FROM saga WHERE definition_name <> 'trade-settlement'").await;
    let listening = Listening::guarded(&database).await;
    let scoped = listening.token("scoped", Role::Approver, Some(&[TRADE])).await;
    let count = |answer: Answer| answer.json()["items"].as_array().unwrap().len();
    let all = count(listening.get(listening.of(Role::Viewer), "/v1/sagas").await);
    assert_eq!(i64::try_from(all).unwrap(), 3 + others);
    assert_eq!(count(listening.get(&scoped, "/v1/sagas").await), 3);
    assert_eq!(count(listening.get(&scoped, "/v1/definitions").await), 1);
    let counted = listening.get(&scoped, "/v1/sagas/count").await.json();
    assert_eq!((counted.as_array().unwrap().len(), &counted[0]["sagas"]), (1, &3.into()));
}

/// Walks a list to its end; `between` runs before each next page.
async fn walk(listening: &Listening, path: &str, mut between: impl AsyncFnMut(usize)) -> Vec<Value> {
    let (mut found, mut next, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = listening.get(listening.of(Role::Viewer), &format!("{path}{next}")).await.json();
        found.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(token) = page["nextPageToken"].as_str() else { return found };
        next = format!("&pageToken={token}");
        pages += 1;
        between(pages).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_visit_every_saga_once_while_others_begin() {
    let database = TestDatabase::migrated("api_pages").await;
    deploy(&database).await;
    insert_sagas(&database, TRADE, 1_000..1_250).await;
    let listening = Listening::guarded(&database).await;
    // Newer ones, and some whose triggers say to be older: in front of the walk and behind it.
    let found = walk(&listening, "/v1/sagas?pageSize=7&startedAfter=1h", async |page| {
        insert_sagas(&database, TRADE, 2_000 + page * 10..2_000 + page * 10 + 3).await;
        insert_sagas(&database, TRADE, 500 + page..501 + page).await;
    })
    .await;
    let keys: Vec<&str> = found.iter().map(|saga| saga["businessKey"].as_str().unwrap()).collect();
    let once: BTreeSet<&str> = keys.iter().copied().collect();
    assert_eq!(once.len(), keys.len(), "none twice");
    for number in 1_000..1_250 {
        assert!(once.contains(format!("k{number}").as_str()), "k{number}");
    }
    assert!(!keys.iter().any(|key| key.starts_with("k2")), "what begins later is newer than the first page");

    database
        .run(
            "INSERT INTO parked_message (topic, partition, \"offset\", reason, headers) \
             SELECT 't', 0, n, 'malformed: x', '' FROM generate_series(1, 25) n",
        )
        .await;
    let parked = walk(&listening, "/v1/parked-messages?pageSize=4", async |page| {
        let more = "INSERT INTO parked_message (topic, partition, \"offset\", reason, headers) VALUES ('t', 0, 99, 'malformed: y', '')";
        assert!(page < 20);
        database.run(more).await;
    })
    .await;
    let offsets: Vec<u64> = parked.iter().map(|parked| parked["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, (1..=25).rev().collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_looks_at_so_many_sagas_and_no_more_whatever_fits() {
    let database = TestDatabase::migrated("api_sparse").await;
    deploy(&database).await;
    // One a millisecond: of those of one millisecond a page leaves none.
    let one_a_millisecond = format!(
        "INSERT INTO saga (id, definition_hash, definition_name, business_key, phase, started_at) \
         SELECT (lpad(to_hex(1761000000000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid, d.hash, d.name, 'k' || n, 0, now() \
         FROM generate_series(100000, 209999) n, definition d WHERE d.name = '{TRADE}'"
    );
    database.run(&one_a_millisecond).await;
    let listening = Listening::guarded(&database).await;
    let mut pages = 0;
    let found = walk(&listening, "/v1/sagas?key=k100000*", async |page| pages = page).await;
    assert_eq!(found.iter().map(|saga| saga["businessKey"].as_str().unwrap()).collect::<Vec<_>>(), ["k100000"]);
    assert_eq!(pages, 2, "50,000 are looked at for a page, and the oldest one of 110,000 fits");
    let none = walk(&listening, "/v1/sagas?code=NONE", async |page| pages = page).await;
    assert_eq!((none.len(), pages), (0, 2));
    walk(&listening, "/v1/sagas?phase=stuck", async |_| panic!("open ones have an index of their own")).await;
    let cut = listening.get(listening.of(Role::Viewer), "/v1/sagas?pageSize=1").await.json();
    assert_eq!(cut["items"].as_array().unwrap().len(), 1, "where everything fits, one is looked at for one");
}

/// The problem of an answer, with the id of a saga and of a defect hidden.
fn problem(answer: &Answer, id: &str) -> String {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status, "{problem}");
    serde_json::to_string_pretty(&problem).unwrap().replace(id, "SAGA")
}

/// A saga that is stuck at undoing `clearing`, beside an engine that is turned by hand.
struct StuckSaga {
    busy: Busy,
    listening: Arc<Listening>,
    id: String,
    /// Its ETag.
    tag: String,
}

const RESOLVE: &str = r#"{"action":"resolve","step":"clearing","outcome":"undone","reason":"cancelled by phone"}"#;
const CANCEL: &str = r#"{"action":"cancel","reason":"x"}"#;

impl StuckSaga {
    async fn begin(name: &str) -> Self {
        let mut busy = Busy::start(name, mixed()).await;
        let listening = Arc::new(Listening::guarded(&busy.database).await);
        busy.trigger("order-7");
        let until = sagabus::engine::wall_clock().plus_millis(30_000);
        loop {
            busy.turn().await;
            let found = listening.get(listening.of(Role::Viewer), "/v1/stuck").await.json();
            if let Some(id) = found["items"][0]["sagaId"].as_str() {
                let shown = listening.get(listening.of(Role::Viewer), &format!("/v1/sagas/{id}")).await;
                let tag = shown.header("etag").unwrap().to_owned();
                assert_eq!(shown.json()["journal"].as_array().unwrap().len().to_string(), tag.trim_matches('"'));
                return Self { busy, listening, id: id.to_owned(), tag };
            }
            assert!(sagabus::engine::wall_clock() < until, "the saga becomes stuck");
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.listening.get(self.listening.of(Role::Operator), path).await
    }

    /// Asks for an action, while the engine is at work.
    async fn act(&mut self, query: &str, matched: Option<&str>, body: &str) -> Answer {
        let (listening, path) = (Arc::clone(&self.listening), format!("/v1/sagas/{}/actions{query}", self.id));
        let (matched, body) = (matched.map(str::to_owned), body.to_owned());
        let request = tokio::spawn(async move {
            let headers: Vec<(&str, &str)> = matched.iter().map(|tag| ("if-match", tag.as_str())).collect();
            listening.post(listening.of(Role::Operator), &path, &headers, &body).await
        });
        while !request.is_finished() {
            self.busy.turn().await;
        }
        request.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_is_tried_and_decided_as_of_the_seq_that_was_read() {
    let mut stuck = StuckSaga::begin("api_actions").await;
    for part in ["journal", "timeline", "explanation", "graph"] {
        let answer = stuck.get(&format!("/v1/sagas/{}/{part}", stuck.id)).await;
        assert_eq!((answer.status, answer.header("etag")), (200, Some(stuck.tag.as_str())), "{part}");
    }
    assert_eq!(stuck.get("/v1/find?q=order-7").await.json()["sagas"][0]["id"], stuck.id.as_str());
    let groups = stuck.get("/v1/failure-groups").await.json();
    assert_eq!((&groups["items"][0]["sagas"], &groups["isCut"]), (&1.into(), &false.into()));

    let tag = stuck.tag.clone();
    let tried = stuck.act("?dryRun=true", Some(&tag), RESOLVE).await;
    assert_eq!((tried.status, &tried.json()["phaseAfter"]), (200, &"compensating".into()), "{tried:?}");
    let database = &stuck.busy.database;
    assert_eq!(database.count("SELECT count(*) FROM operation").await, 0, "nothing is written");
    let decided = stuck.act("", Some(&tag), RESOLVE).await;
    assert_eq!((decided.status, &decided.json()["outcome"]), (200, &"decided".into()), "{decided:?}");
    let again = stuck.act("", Some(&tag), RESOLVE).await;
    assert_eq!(again.status, 412, "it has moved on: {again:?}");
    let told = "SELECT count(*) FROM audit WHERE who = 'token:operator' AND outcome = 'decided'";
    assert_eq!(stuck.busy.database.count(told).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_problem_has_one_shape() {
    let mut stuck = StuckSaga::begin("api_problems").await;
    let (id, tag) = (stuck.id.clone(), stuck.tag.clone());
    let matched = Some(tag.as_str());
    let mut told = Vec::new();
    let mut tell = |name: &str, status: u16, answer: Answer| {
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        told.push(format!("{name}: {}", problem(&answer, &id)));
    };
    let foreign = r#"{"action":"cancel","reason":"x","step":"order"}"#;
    let abandon = r#"{"action":"abandon","reason":"settled on paper"}"#;
    tell("no If-Match", 428, stuck.act("", None, RESOLVE).await);
    tell("no ETag", 400, stuck.act("", Some("*"), RESOLVE).await);
    tell("unknown field", 400, stuck.act("", matched, r#"{"action":"cancel","reason":"x","why":1}"#).await);
    tell("foreign field", 400, stuck.act("", matched, foreign).await);
    tell("no such step", 400, stuck.act("", matched, &RESOLVE.replace("clearing", "clering")).await);
    tell("unknown parameter", 400, stuck.act("?really=true", matched, RESOLVE).await);
    tell("not an approver", 403, stuck.act("", matched, abandon).await);
    tell("tried and refused", 409, stuck.act("?dryRun=true", matched, CANCEL).await);
    tell("refused", 409, stuck.act("", matched, CANCEL).await);
    let moved_on = stuck.act("", Some("\"1\""), RESOLVE).await;
    // On a slow machine a command of it is sent again meanwhile.
    let rows = stuck.busy.database.count(&format!("SELECT count(*) FROM journal WHERE saga_id = '{id}'")).await;
    let body = moved_on.body.replace(&format!(" to {rows} ("), " to 7 (");
    tell("moved on", 412, Answer { body, ..moved_on });
    tell("no such saga", 404, stuck.get(&format!("/v1/sagas/{NOBODY}")).await);
    tell("no id", 400, stuck.get("/v1/sagas/order-7").await);
    tell("no text", 400, stuck.get("/v1/failure-groups/%FF").await);
    tell("no such condition", 400, stuck.get("/v1/sagas?phase=lost").await);
    tell("foreign page token", 400, stuck.get(&format!("/v1/sagas?pageToken={}", "0".repeat(64))).await);
    tell("too many", 400, stuck.get("/v1/sagas?pageSize=1001").await);
    tell("nobody", 401, ask(stuck.listening.address, "GET", "/v1/sagas", &[], None).await);
    tell("nowhere", 404, stuck.get("/v2/sagas").await);
    let operator = stuck.listening.of(Role::Operator).to_owned();
    tell("no such method", 405, stuck.listening.post(&operator, "/v1/stuck", &[], "{}").await);
    super::console::golden("problems", &told.join("\n"));
    let denied = "SELECT count(*) FROM audit WHERE who = 'token:operator' AND verb = 'abandon' AND outcome = 'denied'";
    assert_eq!(stuck.busy.database.count(denied).await, 1);
}

#[tokio::test]
async fn no_token_is_ever_logged_or_stored() {
    let log = Log::default();
    let _guard = log.listen();
    let database = TestDatabase::migrated("api_secrets").await;
    let listening = Listening::guarded(&database).await;
    let admin = listening.of(Role::Admin).to_owned();
    let made = listening.post(&admin, "/v1/tokens", &[], r#"{"name":"ada","role":"viewer","reason":"r"}"#).await;
    let ada = made.json()["token"].as_str().unwrap().to_owned();
    let forged = format!("sagabus_{}", "7".repeat(64));
    for token in [&admin, &ada, &forged] {
        for path in ["/v1/sagas", "/v1/tokens", "/v1/audit", "/nowhere"] {
            let answer = listening.get(token, path).await;
            assert!(!answer.body.contains(token.as_str()), "{path}: {answer:?}");
        }
    }
    let logged = log.text();
    assert!(logged.contains("request without a caller"), "it is listened to: {logged}");
    for token in [&admin, &ada, &forged] {
        let secret = token.strip_prefix("sagabus_").unwrap();
        assert!(!logged.contains(secret));
        for table in ["token", "audit", "operation"] {
            let held = format!("SELECT count(*) FROM {table} t WHERE strpos(t::text, '{secret}') > 0");
            assert_eq!(database.count(&held).await, 0, "{table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_503_and_a_saga_that_cannot_be_read_a_defect_with_an_id() {
    let nowhere = Places { database_url: Some("postgres://x@127.0.0.1:1/x".to_owned()), ..Places::default() };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), &nowhere).await.unwrap();
    let address = listener.address().unwrap();
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle();
    tokio::spawn(listener.serve(Arc::default(), metrics));
    let away = ask(address, "GET", "/v1/sagas", &[], None).await;
    assert_eq!((away.status, &away.json()["code"]), (503, &"unavailable".into()), "{away:?}");

    let database = TestDatabase::migrated("api_defect").await;
    deploy(&database).await;
    insert_sagas(&database, TRADE, 1..2).await;
    let listening = Listening::guarded(&database).await;
    let id = "0199d3a0-0000-7000-8000-000000000001";
    let broken = listening.get(listening.of(Role::Viewer), &format!("/v1/sagas/{id}")).await;
    assert_eq!((broken.status, &broken.json()["code"]), (500, &"defect".into()), "{broken:?}");
    let name = broken.json()["instance"].as_str().unwrap().trim_start_matches("urn:uuid:").to_owned();
    assert!(Uuid::try_parse(&name).is_ok() && broken.json()["detail"].as_str().unwrap().contains(&name), "{broken:?}");
}
