//! The real thing under faults: two engines, participants in a process of their own with the barrier on Postgres, real Kafka and
//! Postgres; engines are killed and stopped, the broker restarts, Postgres crashes. Needs `scripts/services up`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sagabus::bus::{Admin, KafkaSettings, Producer};
use sagabus::core::{Action, Json, Phase};
use sagabus::engine::wall_clock;
use sagabus::participant::{self, Done, Handler, Service};
use sagabus::store::{Console, ListedSaga, SagaFilter};
use sagabus::wire::{self, Received};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::support::database::TestDatabase;

const SAGAS: usize = 2_000;
const KILLS: u32 = 12;
const STEPS: [&str; 5] = ["order", "clearing", "risk", "accounting", "notification"];

/// Sagas whose number is such fail at risk.
fn fails(key: &str) -> bool {
    key.rsplit('-').next().and_then(|number| number.parse::<usize>().ok()).is_some_and(|number| number % 5 == 0)
}

fn definition(name: &str) -> String {
    let participants: String =
        STEPS.iter().map(|step| format!("  {step}: {{commandTopic: {name}.{step}}}\n")).collect();
    format!(
        "saga: v1\nname: {name}\nversion: 1\ntrigger: {{topic: {name}.triggers, type: go}}\nbusinessKey: ${{trigger.data.id}}\n\
         participants:\n{participants}\
         defaults:\n  timeout: 2s\n  patience: 60s\n  retry: {{maximumAttempts: 4, initialInterval: 100ms, maximumInterval: 2s}}\n  \
         compensation: {{timeout: 2s, patience: 120s, retry: {{maximumInterval: 2s}}}}\n\
         steps:\n  order: {{command: {{type: do, data: \"${{trigger.data}}\"}}, compensate: {{type: undo}}}}\n  \
         clearing: {{after: [order], command: {{type: do, data: \"${{trigger.data}}\"}}, compensate: {{type: undo}}}}\n  \
         risk: {{after: [clearing], kind: pivot, command: {{type: do, data: \"${{trigger.data}}\"}}}}\n  \
         accounting: {{after: [risk], kind: retriable, command: {{type: do, data: \"${{trigger.data}}\"}}}}\n  \
         notification: {{after: [order], kind: retriable, command: {{type: do}}, compensate: {{type: undo}}}}\n"
    )
}

struct Ledger;

impl Handler for Ledger {
    async fn handle(&mut self, transaction: &mut PgConnection, command: &Received) -> Result<Done, sqlx::Error> {
        if &*command.step == "risk" && fails(&command.key) {
            return Ok(Done::Failure { code: "REFUSED", message: "no".to_owned(), retryable: false });
        }
        sqlx::query("INSERT INTO effect (saga_id, step, action) VALUES ($1, $2, $3)")
            .bind(command.saga_id)
            .bind(&*command.step)
            .bind(command.action.name())
            .execute(transaction)
            .await?;
        Ok(Done::Success(Json::empty_object()))
    }
}

/// Not a test by itself: the participants' process of the test below. It comes back when Postgres does.
#[tokio::test]
async fn participants_process() {
    let Ok(name) = std::env::var("FAULTS_PARTICIPANTS") else { return };
    let url = std::env::var("FAULTS_LEDGER").unwrap();
    let kafka = KafkaSettings::new(&std::env::var("SAGABUS_KAFKA").unwrap(), &format!("{name}-services"), None);
    let topics: Vec<String> = STEPS.iter().map(|step| format!("{name}.{step}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let stop = AtomicBool::new(false);
    loop {
        match Service::connect("faults", &kafka, &topics, &url, Ledger).await {
            Ok(mut service) => match service.run(&stop).await {
                Ok(()) => return,
                Err(error) => eprintln!("participants: {error}, again"),
            },
            Err(error) => eprintln!("participants: {error}, again"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A process that is killed with this value.
struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).expect("the process is there");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

struct Stage {
    name: String,
    folder: PathBuf,
    url: String,
    log: PathBuf,
}

impl Stage {
    fn engine(&self, instance: &str) -> Process {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let command = Command::new(env!("CARGO_BIN_EXE_sagabus"))
            .args(["serve", "--dev", "--from", "earliest", "--instance", instance, "--definitions"])
            .arg(&self.folder)
            .args(["--database-url", &self.url, "--group", &self.name])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Process(command.expect("the engine starts"))
    }
}

fn services(verb: &str) {
    let done = Command::new("scripts/services").arg(verb).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(done.expect("scripts/services runs").success(), "scripts/services {verb}");
}

/// A small generator: which engine is killed when does not matter, that it differs does.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

async fn finished(database: &TestDatabase) -> i64 {
    // While Postgres is away there is nothing to count.
    let Ok(mut connection) = PgConnection::connect(&database.url).await else { return 0 };
    let counted =
        sqlx::query_as("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL").fetch_one(&mut connection).await;
    counted.map_or(0, |(count,): (i64,)| count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_sagas_survive_kills_stops_and_crashes() {
    let kafka = std::env::var("SAGABUS_KAFKA").expect("scripts/services up, then eval \"$(scripts/services env)\"");
    let seed = u64::try_from(wall_clock().micros()).unwrap();
    println!("seed {seed}");
    let name = format!("faults-{}", std::process::id());
    let engines = TestDatabase::migrated("faults_engine").await;
    let ledger = TestDatabase::empty("faults_ledger").await;
    participant::apply(&mut ledger.connect().await).await.unwrap();
    ledger.run("CREATE TABLE effect (saga_id uuid, step text, action text, PRIMARY KEY (saga_id, step, action))").await;
    let folder = std::env::temp_dir().join(&name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("f.saga.yaml"), definition(&name)).unwrap();
    let stage =
        Stage { name: name.clone(), folder: folder.clone(), url: engines.url.clone(), log: folder.join("engines.log") };

    let mut running = [Some(stage.engine("a")), Some(stage.engine("b"))];
    wait_for(&engines, "SELECT count(*) FROM writer", 2).await;
    let participants = Command::new(std::env::current_exe().unwrap())
        .args(["faults::participants_process", "--exact", "--nocapture"])
        .env("FAULTS_PARTICIPANTS", &name)
        .env("FAULTS_LEDGER", &ledger.url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let participants = Process(participants.expect("participants start"));

    let publisher = tokio::task::spawn_blocking({
        let (kafka, name) = (kafka.clone(), name.clone());
        move || publish(&kafka, &name)
    });
    let fired = faults(&stage, &engines, &mut running, seed).await;
    publisher.await.unwrap();
    let total = i64::try_from(SAGAS).unwrap();
    let until = wall_clock().plus_millis(240_000);
    while finished(&engines).await < total {
        assert!(
            wall_clock() < until,
            "{} of {SAGAS} have ended; engines' log: {}",
            finished(&engines).await,
            stage.log.display()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("faults fired: {fired:?}");
    check_sagas(&engines, &ledger).await;
    check_offsets(&engines, &kafka, &name).await;
    for engine in running.iter().flatten() {
        engine.signal(Signal::SIGTERM);
    }
    for engine in running.iter_mut().flatten() {
        assert!(engine.0.wait().unwrap().success(), "an engine that is asked to stop ends well");
    }
    drop(participants);
    _ = std::fs::remove_dir_all(folder);
}

async fn wait_for(database: &TestDatabase, statement: &str, count: i64) {
    let until = wall_clock().plus_millis(60_000);
    while database.count(statement).await < count {
        assert!(wall_clock() < until, "{statement}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Publishes the triggers over some 40 s, each once.
fn publish(kafka: &str, name: &str) {
    let mut producer = Producer::new(&KafkaSettings::new(kafka, "faults-publisher", None)).unwrap();
    for number in 0..SAGAS {
        let key = format!("{name}-{number}");
        let data = Json::parse(format!(r#"{{"id":"{key}"}}"#).as_bytes()).unwrap();
        producer.emit(
            u64::try_from(number).unwrap(),
            vec![wire::new_trigger(&format!("{name}.triggers"), &key, "go", &key, "/test", data)],
        );
        _ = producer.delivered();
        std::thread::park_timeout(Duration::from_millis(20));
    }
    while producer.unacknowledged() > 0 {
        _ = producer.delivered();
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// The engine, or a new one in its place: one that is started while Postgres or Kafka is away says so and ends, and its supervisor
/// starts it again.
async fn alive(stage: &Stage, mut engine: Process, name: &str) -> Process {
    while let Some(status) = engine.0.try_wait().unwrap() {
        assert_eq!(status.code(), Some(6), "engine {name} ended by itself: see {}", stage.log.display());
        engine = stage.engine(name);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    engine
}

/// Fires every fault; says how often each one did.
async fn faults(
    stage: &Stage,
    database: &TestDatabase,
    running: &mut [Option<Process>; 2],
    mut seed: u64,
) -> BTreeMap<&'static str, u32> {
    let mut fired = BTreeMap::new();
    let names = ["a", "b"];
    for round in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(500 + next(&mut seed) % 2_000)).await;
        let place = usize::try_from(next(&mut seed) % 2).unwrap();
        let engine = alive(stage, running[place].take().expect("it runs"), names[place]).await;
        engine.signal(Signal::SIGKILL);
        drop(engine);
        *fired.entry("kill -9").or_insert(0) += 1;
        running[place] = Some(stage.engine(names[place]));
        if round == 4 {
            services("crash-postgres");
            *fired.entry("postgres crashed").or_insert(0) += 1;
        }
        if round == 8 {
            services("restart-kafka");
            *fired.entry("kafka restarted").or_insert(0) += 1;
        }
    }
    for (place, name) in names.into_iter().enumerate() {
        running[place] = Some(alive(stage, running[place].take().expect("it runs"), name).await);
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let zombie = database.count("SELECT coalesce(max(id), 0) FROM writer WHERE instance = 'b'").await;
    let engine = running[1].as_ref().expect("it runs");
    engine.signal(Signal::SIGSTOP);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let left = database.count(&format!("SELECT count(*) FROM writer WHERE id = {zombie} AND NOT taken_over")).await;
    assert_eq!(left, 0, "its peer has taken it over");
    engine.signal(Signal::SIGCONT);
    *fired.entry("stopped for 20 s").or_insert(0) += 1;
    assert_eq!(fired.values().sum::<u32>(), KILLS + 3, "every fault fired");
    fired
}

/// Every saga is final as its story says, and the ledger holds exactly the effects that its outcome demands.
async fn check_sagas(engines: &TestDatabase, ledger: &TestDatabase) {
    let console = Console::connect(&engines.url).await.unwrap();
    let sagas: Vec<ListedSaga> = console.list(&SagaFilter::default(), SAGAS * 2).await.unwrap();
    assert_eq!(sagas.len(), SAGAS, "no saga is missing or doubled");
    let mut effects: BTreeMap<Uuid, Vec<(String, Action)>> = BTreeMap::new();
    let rows: Vec<(Uuid, String, String)> = sqlx::query_as("SELECT saga_id, step, action FROM effect")
        .fetch_all(&mut ledger.connect().await)
        .await
        .unwrap();
    for (saga, step, action) in rows {
        effects.entry(saga).or_default().push((step, if action == "do" { Action::Do } else { Action::Undo }));
    }
    for saga in sagas {
        let of_saga = effects.remove(&saga.row.id).unwrap_or_default();
        let did = |step: &str, action: Action| of_saga.contains(&(step.to_owned(), action));
        match saga.row.phase {
            Phase::Completed => {
                assert!(!fails(&saga.row.business_key), "{}", saga.row.business_key);
                assert!(STEPS.iter().all(|step| did(step, Action::Do)), "{}: {of_saga:?}", saga.row.business_key);
                assert_eq!(of_saga.len(), STEPS.len(), "{}: {of_saga:?}", saga.row.business_key);
            }
            Phase::Compensated => {
                for step in ["order", "clearing", "notification"] {
                    assert_eq!(
                        did(step, Action::Do),
                        did(step, Action::Undo),
                        "{} {step}: {of_saga:?}",
                        saga.row.business_key
                    );
                }
                assert!(
                    !did("accounting", Action::Do) && !did("risk", Action::Do),
                    "{}: {of_saga:?}",
                    saga.row.business_key
                );
            }
            other => panic!("{} ended {other}", saga.row.business_key),
        }
    }
    assert!(effects.is_empty(), "effects of sagas that are not there: {effects:?}");
}

/// Every record of every input topic was judged once: the counts balance against the offsets, and these against Kafka.
async fn check_offsets(database: &TestDatabase, kafka: &str, name: &str) {
    let console = Console::connect(&database.url).await.unwrap();
    let admin = Admin::connect(&KafkaSettings::new(kafka, "faults-check", None)).unwrap();
    for topic in [format!("{name}.triggers"), format!("{name}.replies")] {
        for (number, low, end) in admin.watermarks(&topic).unwrap() {
            let until = wall_clock().plus_millis(20_000);
            loop {
                let balances = console.balance().await.unwrap();
                let balance =
                    balances.iter().find(|balance| balance.partition == (topic.clone(), number)).expect("it was read");
                assert_eq!(balance.first_offset, low);
                assert_eq!(
                    balance.next_offset - balance.first_offset,
                    balance.gaps + balance.counts.iter().sum::<i64>()
                );
                if balance.next_offset == end {
                    break;
                }
                assert!(wall_clock() < until, "{topic}/{number} stands at {} of {end}", balance.next_offset);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
