//! Secrets in masked fields, on a real Postgres: planted in a trigger, replies, the words of a failure, an operator's edit and a record that
//! is put aside, then looked for in every output of the console, in every answer to a viewer and an operator, and in the logs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use sagabus::api::document;
use sagabus::core::{Action, Answer, Fact, Json, Outcome, Transition};
use sagabus::definition::{Compiled, Source};
use sagabus::engine::{SystemClock, wall_clock};
use sagabus::operations::Role;
use sagabus::store::{Console, PostgresStore};
use sagabus::wire::{self, Received};
use serde_json::{Value, json};
use uuid::Uuid;

use super::cli::{code, error, out, sagabus};
use super::support::database::TestDatabase;
use super::support::http::ask;
use super::support::listening::Listening;
use super::support::log::Log;
use super::support::participants::Behaviour;
use super::support::world::{World, row_of};

const DEFINITION: &str = r#"
saga: v1
name: masked-order
version: 1
trigger: {topic: masked.orders, type: order.placed}
businessKey: ${trigger.data.orderId}
mask: [/customer/card, /pins/*/code, /token]
steps:
  reserve:
    command: {type: stock.reserve, data: {orderId: "${trigger.data.orderId}", pan: "${trigger.data.customer.card}"}}
    compensate: {type: stock.release}
  charge: {after: [reserve], kind: pivot, command: {type: card.charge, data: "${trigger.data}"}}
"#;

const CARD: &str = "4111222233334444";
const PIN: u64 = 98_765_432;
const TOKEN: &str = "tok-5ecret-77";
/// Letters of an open field: what is looked at is really shown.
const OPEN: &str = "Ada Lovelace";

fn secrets() -> [String; 3] {
    [CARD.to_owned(), PIN.to_string(), TOKEN.to_owned()]
}

fn compiled() -> (Source, Arc<Compiled>) {
    let source = Source { file: "masked.saga.yaml".to_owned(), yaml: DEFINITION.to_owned(), schemas: BTreeMap::new() };
    let plan = Compiled::load(&source).unwrap_or_else(|report| panic!("{report}"));
    (source, Arc::new(plan))
}

fn trigger(key: Option<&str>, amount: u64) -> Json {
    let customer = json!({"name": OPEN, "card": CARD});
    let data = json!({"orderId": key, "customer": customer, "pins": [{"code": PIN}], "amount": amount});
    Json::parse(data.to_string().as_bytes()).unwrap()
}

fn reply(outcome: Outcome, data: &Value) -> Answer {
    Answer {
        id: Arc::from(Uuid::new_v5(&Uuid::NAMESPACE_OID, data.to_string().as_bytes()).to_string()),
        outcome,
        data: Json::parse(data.to_string().as_bytes()).unwrap(),
        code: (outcome == Outcome::Failure).then(|| "DECLINED".into()),
        retryable: false,
        without_effect: false,
    }
}

/// A saga that is stuck at undoing `reserve`, and a record that was put aside; each full of secrets.
struct Planted {
    database: TestDatabase,
    world: World<PostgresStore, SystemClock>,
    listening: Listening,
    id: String,
}

impl Planted {
    async fn begin(name: &str) -> Self {
        let database = TestDatabase::migrated(name).await;
        let (source, plan) = compiled();
        let console = Console::connect(&database.url).await.unwrap();
        console.deploy(&[row_of(&source, &plan)], false).await.unwrap();
        let store = PostgresStore::new(&database.url).unwrap();
        let world = World::new(store, vec![plan], Box::new(|_| Behaviour::Silent), SystemClock::start());
        let listening = Listening::guarded(&database).await;
        let mut planted = Self { database, world, listening, id: String::new() };
        planted.publish("order-1", "first", trigger(Some("order-1"), 7));
        let reserve = planted.asked("reserve", Action::Do).await;
        let told = json!({"token": TOKEN, "note": format!("for {CARD}"), "copy": PIN});
        planted.answer(&reserve, &reply(Outcome::Success, &told));
        let charge = planted.asked("charge", Action::Do).await;
        // Another trigger of the same key, which contradicts the first one; and one without a key.
        planted.publish("order-1", "second", trigger(Some("order-1"), 8));
        planted.publish("nobody", "third", trigger(None, 9));
        planted
            .answer(&charge, &reply(Outcome::Failure, &json!({"message": format!("card {CARD} with {PIN} declined")})));
        let undo = planted.asked("reserve", Action::Undo).await;
        planted.answer(&undo, &reply(Outcome::Failure, &json!({"message": format!("{TOKEN} is not known")})));
        planted.until("SELECT count(*) FROM saga WHERE phase = 2").await;
        planted.until("SELECT count(*) FROM parked_message").await;
        let stuck = planted.listening.get(planted.listening.of(Role::Viewer), "/v1/stuck").await.json();
        planted.id = stuck["items"][0]["sagaId"].as_str().unwrap().to_owned();
        planted
    }

    fn publish(&self, key: &str, id: &str, data: Json) {
        self.world.broker.publish(&wire::new_trigger("masked.orders", key, "order.placed", id, "/test", data));
    }

    fn answer(&self, command: &Received, answer: &Answer) {
        self.world.broker.publish(&wire::answer(command, "test", answer));
    }

    async fn turn(&mut self) {
        self.world.turn(wall_clock()).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }

    /// The command, once it has come.
    async fn asked(&mut self, step: &str, action: Action) -> Received {
        let until = wall_clock().plus_millis(30_000);
        loop {
            let is_it = |seen: &&Received| &*seen.step == step && seen.action == action;
            if let Some(command) = self.world.participants.seen.iter().find(is_it) {
                return command.clone();
            }
            assert!(wall_clock() < until, "{step} is asked");
            self.turn().await;
        }
    }

    async fn until(&mut self, count: &str) {
        let until = wall_clock().plus_millis(30_000);
        while self.database.count(count).await == 0 {
            assert!(wall_clock() < until, "{count}");
            self.turn().await;
        }
    }

    /// What a verb prints, on both streams.
    fn printed(&self, arguments: &[&str]) -> String {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sagabus"))
            .args(arguments)
            .env_remove("SAGABUS_KAFKA")
            .env("SAGABUS_DATABASE_URL", &self.database.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"\n\nl\nq\n").unwrap_or_default();
        let output = child.wait_with_output().unwrap();
        assert!(matches!(code(&output), 0 | 1 | 4), "{arguments:?}: {}", error(&output));
        out(&output) + &error(&output)
    }
}

/// Every read verb of the console, and what only tries; for each whether it takes `--output`.
fn verbs(group: &str, parked: &str) -> Vec<(Vec<String>, bool)> {
    let lines = [
        ("find order-1", true),
        ("list", true),
        ("count", true),
        ("show order-1", true),
        ("explain order-1", true),
        ("history order-1", true),
        ("history order-1 --failed --reverse", true),
        ("graph order-1", false),
        ("timeline order-1", true),
        ("diff order-1 order-1", true),
        ("stuck", true),
        ("failures", true),
        ("failures show GROUP", true),
        ("locks", true),
        ("retention show", true),
        ("parked list", true),
        ("parked show PARKED", true),
        ("verify", true),
        ("audit list", true),
        ("audit export", false),
        ("audit verify", true),
        ("tokens list", true),
        ("plan list", true),
        ("jobs list", true),
        ("replay verify", false),
        ("replay run order-1", true),
        ("replay serve order-1", false),
        ("replay export order-1", false),
        ("retry order-1 reserve --dry-run", true),
        ("resume order-1 --dry-run", true),
        ("resolve order-1 reserve --as undone --dry-run", true),
        ("abandon order-1 --dry-run", true),
        ("retry --where phase=stuck --dry-run", true),
    ];
    let words = |line: &str| line.replace("GROUP", group).replace("PARKED", parked);
    lines.iter().map(|(line, is_json)| (words(line).split(' ').map(str::to_owned).collect(), *is_json)).collect()
}

fn clean(what: &str, text: &str) {
    for secret in secrets() {
        assert!(!text.contains(&secret), "{what} tells {secret}: {text}");
    }
}

#[tokio::test]
async fn a_secret_in_a_masked_field_is_in_no_output_and_in_no_log() {
    let log = Log::default();
    let _guard = log.listen();
    let planted = Planted::begin("masking_console").await;
    let parked = planted.database.count("SELECT max(id) FROM parked_message").await.to_string();
    let groups = sagabus(Some(&planted.database.url), &["failures", "--output", "name"]);
    let group = out(&groups).lines().next().unwrap().to_owned();
    let (mut shown, mut masked) = (0, 0);
    for (words, takes_output) in verbs(&group, &parked) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let outputs: &[&[&str]] = if takes_output { &[&[], &["--output", "json"]] } else { &[&[]] };
        for output in outputs {
            let text = planted.printed(&[words.as_slice(), output].concat());
            clean(&format!("{words:?} {output:?}"), &text);
            shown += usize::from(text.contains(OPEN));
            masked += usize::from(
                ["\"masked\"", "card masked", "masked is not known"].iter().any(|told| text.contains(told)),
            );
        }
    }
    let url = Some(planted.database.url.as_str());
    let watched = sagabus(url, &["watch", "order-1", "--wait", "1ms", "--output", "jsonl"]);
    assert!(code(&watched) == 124 && out(&watched).contains("masked"), "{}", error(&watched));
    clean("watch", &out(&watched));
    let said = format!(r#"{{"token":"{TOKEN}"}}"#);
    let complete = ["complete", "--where", "phase=stuck", "--step", "reserve", "--reply", &said];
    clean(
        "a plan that is tried",
        &planted.printed(&[complete.as_slice(), &["--dry-run", "--output", "json"]].concat()),
    );
    for words in [
        &complete[..],
        &["plan", "show", "p1"],
        &["plan", "list"],
        &["jobs", "watch", "p1"],
        &["jobs", "cancel", "p1", "--reason", "r", "--yes"],
    ] {
        for output in ["table", "json"] {
            clean(&format!("{words:?}"), &planted.printed(&[words, &["--output", output]].concat()));
        }
    }
    let revealed = planted.printed(&["plan", "show", "p1", "--reveal", "--reason", "INC-9"]);
    assert!(revealed.contains(TOKEN), "{revealed}");
    let told = "SELECT count(*) FROM audit WHERE verb = 'reveal' AND target = 'p1' AND reason = 'INC-9'";
    assert_eq!(planted.database.count(told).await, 1);
    assert!(shown >= 2 && masked >= 10, "what is open is shown {shown} times, what is masked {masked} times");
    let logged = log.text();
    assert!(logged.contains("listening"), "it is listened to");
    clean("the log", &logged);
}

/// Every route that is read, with ids of what was planted.
fn paths(id: &str, parked: &str) -> Vec<String> {
    let document = serde_json::to_value(document()).unwrap();
    let read = |(path, item): (&String, &Value)| item.get("get").map(|_| path.clone());
    let known = |path: String| {
        let path = path.replace("/sagas/{id}", &format!("/sagas/{id}"));
        let path = path.replace("/operations/{id}", "/operations/p1");
        let path = path.replace("/difference", &format!("/difference?with={id}"));
        path.replace("/parked-messages/{id}", &format!("/parked-messages/{parked}"))
    };
    let asked = |path: String| match path.as_str() {
        "/v1/find" => "/v1/find?q=order-1".to_owned(),
        "/v1/parked-messages/sweep" => format!("{path}?action=discard"),
        "/v1/retention/removable" => format!("{path}?keepSeconds=2592000&topicsHoldSeconds=604800"),
        _ => path,
    };
    document["paths"].as_object().unwrap().iter().filter_map(read).map(known).map(asked).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_and_an_operator_are_told_no_secret_and_an_approver_is() {
    let planted = Planted::begin("masking_http").await;
    let listening = &planted.listening;
    let parked = planted.database.count("SELECT max(id) FROM parked_message").await.to_string();
    for role in [Role::Viewer, Role::Operator] {
        for path in paths(&planted.id, &parked).iter().filter(|path| *path != "/v1/changes") {
            let answer = listening.get(listening.of(role), path).await;
            clean(&format!("{path} as {role}"), &answer.body);
            // What is for an admin, and what names a plan or a group that there is not.
            let is_answered = answer.status == 200 || [403, 404].contains(&answer.status);
            assert!(is_answered, "{path} as {role}: {answer:?}");
        }
    }
    let journal = format!("/v1/sagas/{}/journal", planted.id);
    let seen = listening.get(listening.of(Role::Operator), &journal).await;
    let trigger = &seen.json()[0]["facts"][0]["trigger"]["data"];
    assert_eq!(
        (&trigger["customer"], &trigger["pins"], &trigger["amount"]),
        (&json!({"name": OPEN, "card": "masked"}), &json!([{"code": "masked"}]), &json!(7))
    );
    assert!(seen.body.contains(r#""note":"for masked""#) && seen.body.contains("card masked with masked declined"));
    // What is decided is decided on the saga as it is: the dry run is that of the one who sees everything, but for what it shows.
    let tag = seen.header("etag").unwrap().to_owned();
    let edit =
        json!({"action": "edit", "step": "reserve", "data": {"token": TOKEN, "amount": 7}, "reason": "r"}).to_string();
    let retry = json!({"action": "retry", "step": "reserve", "reason": "r"}).to_string();
    let actions = format!("/v1/sagas/{}/actions?dryRun=true", planted.id);
    for body in [&edit, &retry] {
        let tried = listening.post(listening.of(Role::Operator), &actions, &[("if-match", &tag)], body).await;
        clean(&format!("trying {body}"), &tried.body);
        assert_eq!(tried.status, 200, "{tried:?}");
        let whole = listening.post(listening.of(Role::Approver), &actions, &[("if-match", &tag)], body).await.json();
        let seen = tried.json();
        assert_eq!(
            (&seen["phaseAfter"], &seen["commands"][0]["id"]),
            (&whole["phaseAfter"], &whole["commands"][0]["id"])
        );
    }
    let explanation = format!("/v1/sagas/{}/explanation", planted.id);
    let can = async |role: Role| listening.get(listening.of(role), &explanation).await.json()["can"].clone();
    let (operator, approver) = (can(Role::Operator).await, can(Role::Approver).await);
    assert_eq!(operator, approver);
    let plan = json!({"action": "complete", "step": "reserve", "reply": {"token": TOKEN}, "where": {"phase": "stuck"}});
    let planned = listening.post(listening.of(Role::Operator), "/v1/operations", &[], &plan.to_string()).await;
    assert_eq!(planned.json()["action"]["complete"]["reply"], "masked", "{planned:?}");
    for path in ["/v1/operations", "/v1/operations/p1"] {
        clean(path, &listening.get(listening.of(Role::Operator), path).await.body);
        assert!(listening.get(listening.of(Role::Approver), path).await.body.contains(TOKEN), "{path}");
    }
    let whole = listening.get(listening.of(Role::Approver), &journal).await.body;
    assert!(secrets().iter().all(|secret| whole.contains(secret)), "{whole}");
    let told = ask(listening.address, "GET", &journal, &[], None).await;
    assert_eq!(told.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_cannot_be_masked_and_is_not_shown() {
    let mut planted = Planted::begin("masking_unreadable").await;
    let data = |amount| format!(r#"{{"orderId":"order-2","customer":{{"card":"{CARD}"}},"amount":{amount}}}"#);
    planted.publish("order-2", "fourth", Json::parse(data("1e999").as_bytes()).unwrap());
    planted.until("SELECT count(*) FROM parked_message WHERE reason LIKE '%no reader can hold%'").await;
    planted.publish("order-2", "fifth", Json::parse(data("7").as_bytes()).unwrap());
    planted.until("SELECT count(*) FROM saga WHERE business_key = 'order-2'").await;
    // As it stands in journals of versions that took such numbers.
    let mut connection = planted.database.connect().await;
    let of_order = "WHERE seq = 1 AND saga_id = (SELECT id FROM saga WHERE business_key = 'order-2')";
    let read = sqlx::AssertSqlSafe(format!("SELECT facts FROM journal {of_order}"));
    let (facts,): (Vec<u8>,) = sqlx::query_as(read).fetch_one(&mut connection).await.unwrap();
    let mut first = Transition::decode(&facts).unwrap();
    let Fact::Started { trigger, .. } = &mut first.facts[0] else { panic!("{first:?}") };
    trigger.data = Json::parse(data("1e999").as_bytes()).unwrap();
    let written = sqlx::AssertSqlSafe(format!("UPDATE journal SET facts = $1 {of_order}"));
    sqlx::query(written).bind(first.encode()).execute(&mut connection).await.unwrap();
    let listening = &planted.listening;
    let found = listening.get(listening.of(Role::Viewer), "/v1/sagas?key=order-2*").await.json();
    let id = found["items"][0]["id"].as_str().unwrap();
    for part in ["", "/journal", "/explanation", "/timeline"] {
        let seen = listening.get(listening.of(Role::Viewer), &format!("/v1/sagas/{id}{part}")).await;
        assert_eq!(seen.status, 200, "{part}: {seen:?}");
        clean(part, &seen.body);
    }
    for words in [["history", "order-2"].as_slice(), &["replay", "export", "order-2"]] {
        clean("the console", &planted.printed(words));
    }
    // The same of a plan.
    let said = format!(r#"{{"token":"{TOKEN}","amount":7}}"#);
    planted.printed(&["complete", "--where", "phase=stuck", "--step", "reserve", "--reply", &said]);
    planted.database.run("UPDATE plan SET request = replace(request, ':7', ':1e999')").await;
    for path in ["/v1/operations", "/v1/operations/p1"] {
        let seen = listening.get(listening.of(Role::Viewer), path).await;
        assert!(seen.status == 200 && seen.body.contains(r#""action":"masked""#), "{path}: {seen:?}");
        clean(path, &seen.body);
        assert!(listening.get(listening.of(Role::Approver), path).await.body.contains(TOKEN), "{path}");
    }
    clean("a plan", &planted.printed(&["plan", "show", "p1", "--output", "json"]));
    let whole = listening.get(listening.of(Role::Approver), &format!("/v1/sagas/{id}/journal")).await.json();
    let first = &whole[0]["facts"][0];
    assert_eq!(first["fact"], "unreadable", "{whole}");
    assert!(first["why"].as_str().unwrap().contains("number out of range"), "{first}");
    let masked = sagabus(Some(&planted.database.url), &["replay", "export", "order-2"]);
    assert_eq!(sagabus::replay::read(masked.stdout.as_slice()).map(|export| export.sagas.len()), Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_console_who_says_why_sees_what_is_masked_and_the_audit_knows() {
    let planted = Planted::begin("masking_reveal").await;
    let url = Some(planted.database.url.as_str());
    let parked = planted.database.count("SELECT max(id) FROM parked_message").await.to_string();
    for words in [
        ["show", "order-1"].as_slice(),
        &["history", "order-1"],
        &["explain", "order-1"],
        &["parked", "show", &parked],
        &["replay", "export", "order-1"],
    ] {
        let without = sagabus(url, &[words, &["--reveal"]].concat());
        assert!(code(&without) == 2 && error(&without).contains("--reason"), "{words:?}: {}", error(&without));
        let empty = sagabus(url, &[words, &["--reveal", "--reason", " "]].concat());
        assert!(code(&empty) == 2 && out(&empty).is_empty(), "{words:?}: {}", error(&empty));
        let told = "SELECT count(*) FROM audit WHERE verb = 'reveal' AND who = 'ada' AND reason = 'INC-9' AND outcome = 'decided'";
        let before = planted.database.count(told).await;
        let revealed = sagabus(url, &[words, &["--reveal", "--reason", "INC-9", "--who", "ada"]].concat());
        assert_eq!(code(&revealed), 0, "{words:?}: {}", error(&revealed));
        let text = out(&revealed);
        assert!(secrets().iter().any(|secret| text.contains(secret)), "{words:?}: {text}");
        assert_eq!(planted.database.count(told).await, before + 1, "{words:?}");
    }
    let told = format!("SELECT count(*) FROM audit WHERE verb = 'reveal' AND target LIKE '%{}%'", planted.id);
    assert_eq!(planted.database.count(&told).await, 4, "of which saga");
    let unneeded = sagabus(url, &["show", "order-1", "--reason", "INC-9"]);
    assert_eq!(code(&unneeded), 2, "a reason for nothing");
}
