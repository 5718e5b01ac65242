//! The binary on real Kafka and Postgres, as a team meets it. Needs `scripts/services up`.

use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sagabus::bus::{KafkaSettings, Producer};
use sagabus::core::{Action, Json};
use sagabus::engine::wall_clock;
use sagabus::participant::{self, Done, Handler, Service};
use sagabus::wire::{self, Received};
use sqlx::PgConnection;

use super::support::database::TestDatabase;

fn bootstrap() -> String {
    std::env::var("SAGABUS_KAFKA").expect("scripts/services up, then eval \"$(scripts/services env)\"")
}

fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// Answers everything but what a key asks not to be: `refused-...` fails at b, `silent-...` gets no answer at b.
struct Obliging;

impl Handler for Obliging {
    async fn handle(&mut self, _transaction: &mut PgConnection, command: &Received) -> Result<Done, sqlx::Error> {
        if command.key.starts_with("refused") && &*command.step == "b" && command.action == Action::Do {
            return Ok(Done::Failure { code: "REFUSED", message: "no".to_owned(), retryable: false });
        }
        Ok(Done::Success(Json::empty_object()))
    }

    fn answering(&mut self, command: &Received) -> participant::Answering {
        let is_silent = command.key.starts_with("silent") && &*command.step == "b" && command.action == Action::Do;
        if is_silent { participant::Answering::Lost } else { participant::Answering::Once }
    }
}

struct Served {
    name: String,
    engine: Child,
    url: String,
    folder: std::path::PathBuf,
    stop: Arc<AtomicBool>,
    participants: Option<std::thread::JoinHandle<()>>,
    _databases: [TestDatabase; 2],
}

impl Drop for Served {
    fn drop(&mut self) {
        _ = self.engine.kill();
        _ = self.engine.wait();
        self.stop.store(true, Ordering::Relaxed);
        _ = self.participants.take().map(std::thread::JoinHandle::join);
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn definition(name: &str, version: u32) -> String {
    format!(
        "saga: v1\nname: {name}\nversion: {version}\ntrigger: {{topic: {name}.triggers, type: go}}\nbusinessKey: ${{trigger.data.id}}\n\
         participants: {{a: {{commandTopic: {name}.a}}, b: {{commandTopic: {name}.b}}}}\n\
         defaults: {{timeout: 500ms, patience: 60s}}\nsteps:\n  a: {{command: {{type: t}}, compensate: {{type: u}}}}\n  \
         b: {{after: [a], command: {{type: t}}, compensate: {{type: u}}}}\n"
    )
}

impl Served {
    async fn start(test: &str) -> Self {
        let name = unique(test);
        let underscored = test.replace('-', "_");
        let (database, ledger) =
            (TestDatabase::migrated(&underscored).await, TestDatabase::empty(&format!("{underscored}_b")).await);
        participant::apply(&mut ledger.connect().await).await.unwrap();
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("x.saga.yaml"), definition(&name, 1)).unwrap();
        let engine = Command::new(env!("CARGO_BIN_EXE_sagabus"))
            .args(["serve", "--dev", "--group", &name, "--database-url", &database.url, "--definitions"])
            .arg(&folder)
            .env("SAGABUS_LOG", "error")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let kafka = KafkaSettings::new(&bootstrap(), &format!("{name}-services"), None);
        let (ledger_url, stopped, topics) =
            (ledger.url.clone(), Arc::clone(&stop), [format!("{name}.a"), format!("{name}.b")]);
        let participants = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let topics = topics.each_ref().map(String::as_str);
                let mut service = Service::connect("obliging", &kafka, &topics, &ledger_url, Obliging).await.unwrap();
                service.run(&stopped).await.unwrap();
            });
        });
        let url = database.url.clone();
        let served =
            Self { name, engine, url, folder, stop, participants: Some(participants), _databases: [database, ledger] };
        served
            .until("the definition is active", || async {
                served.count("SELECT count(*) FROM active_definition").await == 1
            })
            .await;
        served
    }

    async fn count(&self, statement: &str) -> i64 {
        self._databases[0].count(statement).await
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, is_so: impl Fn() -> F) {
        let until = wall_clock().plus_millis(30_000);
        while !is_so().await {
            assert!(wall_clock() < until, "{what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn sagabus(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sagabus"));
        command.args(arguments).env("SAGABUS_DATABASE_URL", &self.url).output().unwrap()
    }

    fn code(&self, arguments: &[&str]) -> i32 {
        self.sagabus(arguments).status.code().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.sagabus(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }

    fn start_saga(&self, key: &str, wait: &str) -> i32 {
        self.code(&["start", &self.name, "--data", &format!(r#"{{"id":"{key}"}}"#), "--wait", wait])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sagas_are_started_shown_steered_and_replayed_from_the_command_line() {
    let served = Served::start("steered").await;
    assert_eq!(served.start_saga("good", "30s"), 0);
    assert_eq!(served.start_saga("refused", "30s"), 1, "compensated is another end");
    assert_eq!(served.start_saga("silent", "1s"), 124, "time is up");
    assert_eq!(served.code(&["start", "nobody", "--data", "{}"]), 3);
    assert_eq!(served.code(&["start", &served.name, "--data", "no json"]), 2);

    let list = served.json(&["list", "--output", "json"]);
    let phases: Vec<&str> = list.as_array().unwrap().iter().map(|saga| saga["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["running", "compensated", "completed"], "newest first");
    let shown = served.json(&["show", "refused", "--output", "json"]);
    assert_eq!((&shown["error"]["step"], &shown["error"]["code"]), (&"b".into(), &"REFUSED".into()));
    let states: Vec<&str> =
        shown["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["compensated", "failed"]);
    assert_eq!(shown["journal"][0]["facts"][0]["fact"], "started");
    assert_eq!(served.json(&["list", "--phase", "completed", "--output", "json"]).as_array().unwrap().len(), 1);

    assert_eq!(served.code(&["resume", "good", "--reason", "test"]), 4, "it has ended");
    assert_eq!(served.code(&["cancel", "silent", "--reason", "test"]), 0);
    assert_eq!(served.code(&["abandon", "silent", "--reason", "test"]), 0);
    assert_eq!(served.json(&["show", "silent", "--output", "json"])["phase"], "abandoned");
    assert_eq!(served.count("SELECT count(*) FROM audit").await, 3, "refused ones too");
    for saga in ["good", "refused", "silent"] {
        assert_eq!(served.code(&["replay", "run", saga]), 0, "{saga}");
    }
    assert_eq!(served.code(&["replay", "verify"]), 0);
    served._databases[0].run("UPDATE saga SET error = NULL WHERE error IS NOT NULL").await;
    assert_eq!(served.code(&["replay", "verify"]), 1, "a row that was changed by hand is found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_is_taken_up_and_a_broken_one_leaves_the_old_one_active() {
    let served = Served::start("versions").await;
    let file = served.folder.join("x.saga.yaml");
    std::fs::write(&file, "saga: v1\nname: broken\n").unwrap();
    std::fs::write(served.folder.join("y.saga.yaml"), definition(&served.name, 2)).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(served.count("SELECT max(version)::bigint FROM definition").await, 1, "all or none");
    assert_eq!(served.start_saga("k1", "30s"), 0, "the old one is active");
    std::fs::remove_file(&file).unwrap();
    served
        .until("version 2 is active", || async {
            served.count("SELECT max(version)::bigint FROM definition").await == 2
        })
        .await;
    assert_eq!(served.start_saga("k2", "30s"), 0);
    assert_eq!(served.json(&["show", "k2", "--output", "json"])["version"], 2);
    assert_eq!(served.json(&["show", "k1", "--output", "json"])["version"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_outside_its_log_stops_alone_and_goes_on_where_an_operator_sends_it() {
    let served = Served::start("sought").await;
    assert_eq!(served.start_saga("k0", "30s"), 0);
    served
        .until("partitions are known", || async { served.count("SELECT count(*) FROM input_offset").await == 8 })
        .await;
    // As if the topic had been truncated below what was read: the engine reads it anew when somebody else has moved it.
    let topic = format!("{}.triggers", served.name);
    let statement = format!(
        "UPDATE input_offset SET next_offset = 900, gaps = gaps + 900 - next_offset WHERE topic = '{topic}' AND partition = 0"
    );
    served._databases[0].run(&statement).await;
    publish_to(&topic, 1..40);
    served
        .until("the partition is stopped", || async {
            served.count("SELECT count(*) FROM input_offset WHERE stopped_because IS NOT NULL").await == 1
        })
        .await;
    let before = served.count("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL").await;
    assert!(before > 10, "the others go on: {before}");
    let place = format!("{topic}/0");
    assert_eq!(served.code(&["topics", "seek", &place, "--to", "100000", "--reason", "test"]), 4);
    assert_eq!(served.code(&["topics", "seek", &place, "--to", "earliest", "--reason", "test"]), 0);
    served
        .until("everything is read", || async {
            served.count("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL").await == 40
        })
        .await;
    assert_eq!(served.count("SELECT count(*) FROM audit WHERE verb = 'seek'").await, 1);
}

fn publish_to(topic: &str, numbers: std::ops::Range<usize>) {
    let mut producer = Producer::new(&KafkaSettings::new(&bootstrap(), "publisher", None)).unwrap();
    let trigger = |number: usize| {
        let key = format!("k{number}");
        let data = Json::parse(format!(r#"{{"id":"{key}"}}"#).as_bytes()).unwrap();
        wire::new_trigger(topic, &key, "go", &key, "/test", data)
    };
    producer.emit(1, numbers.map(trigger).collect());
    let until = wall_clock().plus_millis(10_000);
    while producer.unacknowledged() > 0 {
        assert!(wall_clock() < until, "the broker takes it");
        _ = producer.delivered();
    }
}
