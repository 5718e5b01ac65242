//! An engine as a process of its own on real Kafka and Postgres, with a participant that does as its keys say.

use std::fs::File;
use std::path::Path;
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

use super::database::TestDatabase;

pub(crate) fn bootstrap() -> String {
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

/// `sagabus serve`, two databases and a participant; all end with it.
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) engine: Child,
    flags: Vec<String>,
    url: String,
    pub(crate) folder: std::path::PathBuf,
    stop: Arc<AtomicBool>,
    participants: Option<std::thread::JoinHandle<()>>,
    /// The engine's and the participant's.
    pub(crate) databases: [TestDatabase; 2],
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

/// Two steps, `a` then `b`, on topics of their own.
pub(crate) fn definition(name: &str, version: u32) -> String {
    format!(
        "saga: v1\nname: {name}\nversion: {version}\ntrigger: {{topic: {name}.triggers, type: go}}\nbusinessKey: ${{trigger.data.id}}\n\
         participants: {{a: {{commandTopic: {name}.a}}, b: {{commandTopic: {name}.b}}}}\n\
         defaults: {{timeout: 500ms, patience: 60s}}\nsteps:\n  a: {{command: {{type: t}}, compensate: {{type: u}}}}\n  \
         b: {{after: [a], command: {{type: t}}, compensate: {{type: u}}}}\n"
    )
}

impl Served {
    pub(crate) async fn start(test: &str) -> Self {
        Self::start_with(test, &[]).await
    }

    /// With more flags for `serve`.
    pub(crate) async fn start_with(test: &str, flags: &[&str]) -> Self {
        Self::start_as(test, flags, |name| definition(name, 1), Obliging).await
    }

    /// With another definition, and another participant in its steps.
    pub(crate) async fn start_as(
        test: &str,
        flags: &[&str],
        definition: impl Fn(&str) -> String,
        handler: impl Handler + Send + 'static,
    ) -> Self {
        let name = unique(test);
        let underscored = test.replace('-', "_");
        let (database, ledger) =
            (TestDatabase::migrated(&underscored).await, TestDatabase::empty(&format!("{underscored}_b")).await);
        participant::apply(&mut ledger.connect().await).await.unwrap();
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("x.saga.yaml"), definition(&name)).unwrap();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let engine = spawn(&name, &folder, &database.url, &flags);
        let stop = Arc::new(AtomicBool::new(false));
        let kafka = KafkaSettings::new(&bootstrap(), &format!("{name}-services"), None);
        let (ledger_url, stopped, topics) =
            (ledger.url.clone(), Arc::clone(&stop), [format!("{name}.a"), format!("{name}.b")]);
        let participants = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let topics = topics.each_ref().map(String::as_str);
                let mut service = Service::connect("obliging", &kafka, &topics, &ledger_url, handler).await.unwrap();
                service.run(&stopped).await.unwrap();
            });
        });
        let url = database.url.clone();
        let served = Self {
            name,
            engine,
            flags,
            url,
            folder,
            stop,
            participants: Some(participants),
            databases: [database, ledger],
        };
        served
            .until("the definition is active", || async {
                served.count("SELECT count(*) FROM active_definition").await == 1
            })
            .await;
        served
    }

    /// Kills the engine where it is, and starts it again.
    pub(crate) fn kill_and_start_again(&mut self) {
        self.engine.kill().unwrap();
        self.engine.wait().unwrap();
        self.engine = spawn(&self.name, &self.folder, &self.url, &self.flags);
    }

    pub(crate) async fn count(&self, statement: &str) -> i64 {
        self.databases[0].count(statement).await
    }

    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, is_so: impl Fn() -> F) {
        let until = wall_clock().plus_millis(30_000);
        while !is_so().await {
            let log = std::fs::read_to_string(self.folder.join("engine.log")).unwrap_or_default();
            assert!(wall_clock() < until, "{what}; the engine's log: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The engine has said this in its log, of errors.
    pub(crate) async fn until_logged(&self, text: &str) {
        let log = self.folder.join("engine.log");
        let is_said = || std::fs::read_to_string(&log).is_ok_and(|said| said.contains(text));
        self.until(text, || async { is_said() }).await;
    }

    pub(crate) fn sagabus(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sagabus"));
        command.args(arguments).env("SAGABUS_DATABASE_URL", &self.url).output().unwrap()
    }

    pub(crate) fn code(&self, arguments: &[&str]) -> i32 {
        self.sagabus(arguments).status.code().unwrap()
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.sagabus(arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }

    pub(crate) fn start_saga(&self, key: &str, wait: &str) -> i32 {
        self.code(&["start", &self.name, "--data", &format!(r#"{{"id":"{key}"}}"#), "--wait", wait])
    }
}

fn spawn(name: &str, folder: &Path, url: &str, flags: &[String]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_sagabus"))
        .args(["serve", "--dev", "--group", name, "--database-url", url, "--definitions"])
        .arg(folder)
        .args(flags)
        .env("SAGABUS_LOG", "error")
        .stdout(Stdio::null())
        .stderr(File::options().create(true).append(true).open(folder.join("engine.log")).unwrap())
        .spawn()
        .unwrap()
}

/// Publishes triggers `k<number>`, acknowledged.
pub(crate) fn publish_to(topic: &str, numbers: std::ops::Range<usize>) {
    let trigger = |number: usize| {
        let key = format!("k{number}");
        let data = Json::parse(format!(r#"{{"id":"{key}"}}"#).as_bytes()).unwrap();
        wire::new_trigger(topic, &key, "go", &key, "/test", data)
    };
    publish(numbers.map(trigger).collect());
}

/// Publishes one trigger with these data, acknowledged.
pub(crate) fn publish_raw(topic: &str, data: &str) {
    publish(vec![wire::new_trigger(topic, "raw", "go", "raw", "/test", Json::parse(data.as_bytes()).unwrap())]);
}

fn publish(records: Vec<wire::Outgoing>) {
    let mut producer = Producer::new(&KafkaSettings::new(&bootstrap(), "publisher", None)).unwrap();
    producer.emit(1, records);
    let until = wall_clock().plus_millis(10_000);
    while producer.unacknowledged() > 0 {
        assert!(wall_clock() < until, "the broker takes it");
        _ = producer.delivered();
    }
}
