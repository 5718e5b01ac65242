//! Histories that the simulator recorded (`make sim ARGS="--record 100"`), replayed on real Kafka and Postgres with the real engine: each saga
//! must end in the same phase with the same effects, else a fake of the simulator is wrong. Needs `scripts/services up`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sagabus::bus::{KafkaSettings, Producer};
use sagabus::core::{Action, Json, Phase};
use sagabus::engine::wall_clock;
use sagabus::participant::{self, Done, Handler, Service};
use sagabus::wire::{self, Received};
use serde::Deserialize;
use sqlx::PgConnection;

use super::support::database::TestDatabase;
use super::support::served::bootstrap;

/// One recorded saga.
#[derive(Deserialize)]
struct History {
    definition: String,
    /// By `step action attempt`, where the attempt may be `any`: `no` or `busy`. Everything else succeeds.
    says: BTreeMap<String, String>,
    phase: Phase,
    effects: Vec<String>,
}

fn histories() -> Vec<History> {
    let lines = include_str!("recorded.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Its saga's business key, which also names its definition.
fn key(number: usize) -> String {
    format!("h{}-{number}", std::process::id())
}

/// The recorded definition under a name of this run, on topics of this run.
fn definition(history: &History, number: usize) -> String {
    let (name, topics) = (key(number), key(0));
    let recorded = history.definition.split_once("\nname: ").unwrap().1.split_once('\n').unwrap().0;
    let mut participants = "participants:\n".to_owned();
    for place in (0..3).filter(|place| history.definition.contains(&format!("participant: p{place},"))) {
        writeln!(participants, "  p{place}: {{commandTopic: {topics}.p{place}}}").unwrap();
    }
    let text = history.definition.replace(&format!("name: {recorded}\n"), &format!("name: {name}\n"));
    let text = text.replace(&format!("{recorded}.triggers"), &format!("{name}.triggers"));
    text.replacen("defaults:\n", &format!("{participants}defaults:\n"), 1)
}

/// Says what the history says, and keeps every effect.
struct Scripted(BTreeMap<String, BTreeMap<String, String>>);

impl Handler for Scripted {
    async fn handle(&mut self, transaction: &mut PgConnection, command: &Received) -> Result<Done, sqlx::Error> {
        let (says, action) = (&self.0[&*command.key], command.action.name());
        let of = |attempt: &str| says.get(&format!("{} {action} {attempt}", command.step)).map(String::as_str);
        let failure = |code, retryable| Ok(Done::Failure { code, message: "no".to_owned(), retryable });
        match of("any").or_else(|| of(&command.attempt.to_string())) {
            Some("no") => return failure("REFUSED", false),
            Some(_) => return failure("BUSY", true),
            None => {}
        }
        if !command.kind.starts_with("read.") {
            let sign = if command.action == Action::Do { 1 } else { -1 };
            sqlx::query("INSERT INTO effect (key, step, sign) VALUES ($1, $2, $3)")
                .bind(&*command.key)
                .bind(&*command.step)
                .bind(sign)
                .execute(transaction)
                .await?;
        }
        Ok(Done::Success(Json::empty_object()))
    }
}

/// An engine's process, which ends with the test.
struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn engine(folder: &std::path::Path, url: &str) -> Engine {
    let command = Command::new(env!("CARGO_BIN_EXE_sagabus"))
        .args(["serve", "--dev", "--from", "earliest", "--group", &key(0), "--database-url", url, "--definitions"])
        .arg(folder)
        .env("SAGABUS_LOG", "error")
        .stdout(Stdio::null())
        .spawn();
    Engine(command.unwrap())
}

fn publish(histories: &[History]) {
    let mut producer = Producer::new(&KafkaSettings::new(&bootstrap(), "publisher", None)).unwrap();
    let trigger = |number: usize| {
        let key = key(number);
        let data = Json::parse(format!(r#"{{"id":"{key}","amount":100}}"#).as_bytes()).unwrap();
        wire::new_trigger(&format!("{key}.triggers"), &key, "go", &key, "/test", data)
    };
    producer.emit(1, (0..histories.len()).map(trigger));
    let until = wall_clock().plus_millis(60_000);
    while producer.unacknowledged() > 0 {
        assert!(wall_clock() < until, "the broker takes them");
        _ = producer.delivered();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_histories_end_on_the_real_stack_as_in_the_simulator() {
    let histories = histories();
    assert_eq!(histories.len(), 100);
    let (database, ledger) = (TestDatabase::migrated("histories").await, TestDatabase::empty("histories_b").await);
    participant::apply(&mut ledger.connect().await).await.unwrap();
    ledger.run("CREATE TABLE effect (key text NOT NULL, step text NOT NULL, sign int NOT NULL)").await;
    let folder = std::env::temp_dir().join(key(0));
    std::fs::create_dir_all(&folder).unwrap();
    for (number, history) in histories.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.saga.yaml")), definition(history, number)).unwrap();
    }
    let _engine = engine(&folder, &database.url);
    let waits = |statement: &'static str, count: i64, seconds: u64| {
        let database = &database;
        async move {
            let until = wall_clock().plus_millis(seconds * 1_000);
            while database.count(statement).await < count {
                assert!(wall_clock() < until, "{statement} gives {count}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    waits("SELECT count(*) FROM active_definition", 100, 120).await;
    let stop = Arc::new(AtomicBool::new(false));
    let services = serve(&histories, ledger.url.clone(), Arc::clone(&stop));
    publish(&histories);
    waits("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL OR phase = 2", 100, 120).await;
    stop.store(true, Ordering::Relaxed);
    services.join().unwrap();
    compare(&histories, &database, &ledger).await;
    _ = std::fs::remove_dir_all(&folder);
}

fn serve(histories: &[History], ledger: String, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let says = histories.iter().enumerate().map(|(number, history)| (key(number), history.says.clone())).collect();
    let kafka = KafkaSettings::new(&bootstrap(), &format!("{}-services", key(0)), None);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let topics = [0, 1, 2].map(|place| format!("{}.p{place}", key(0)));
            let topics = topics.each_ref().map(String::as_str);
            let mut service = Service::connect("scripted", &kafka, &topics, &ledger, Scripted(says)).await.unwrap();
            service.run(&stop).await.unwrap();
        });
    })
}

async fn compare(histories: &[History], database: &TestDatabase, ledger: &TestDatabase) {
    let phases: Vec<(String, i16)> =
        sqlx::query_as("SELECT business_key, phase FROM saga").fetch_all(&mut database.connect().await).await.unwrap();
    let effects: Vec<(String, String)> =
        sqlx::query_as("SELECT key, step FROM effect GROUP BY key, step HAVING sum(sign) <> 0 ORDER BY key, step")
            .fetch_all(&mut ledger.connect().await)
            .await
            .unwrap();
    let mut wrong = String::new();
    for (number, history) in histories.iter().enumerate() {
        let key = key(number);
        let phase = phases.iter().find(|(found, _)| *found == key).and_then(|(_, phase)| Phase::from_number(*phase));
        let there: Vec<&str> =
            effects.iter().filter(|(found, _)| *found == key).map(|(_, step)| step.as_str()).collect();
        if (phase, &there) != (Some(history.phase), &history.effects.iter().map(String::as_str).collect()) {
            let (expected, recorded) = (history.phase, &history.effects);
            writeln!(wrong, "{number}: {phase:?} {there:?}, in the simulator {expected} {recorded:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
