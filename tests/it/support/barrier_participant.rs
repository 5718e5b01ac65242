//! A participant with the barrier, as a process of its own that a test may kill: two workers of one group, a ledger in its database.

use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sagabus::bus::{Group, KafkaSettings, Producer};
use sagabus::core::{Action, Answer, Json, Outcome};
use sagabus::participant::{self, Begun, Done, Handler, Service};
use sagabus::wire::{self, Received};
use sqlx::{Connection as _, PgConnection};

use super::database::TestDatabase;
use super::served::bootstrap;

/// Says to the test binary that it is to be a participant: `TOPIC|DATABASE_URL|barrier` or `...|lease`.
pub(crate) const AS_PARTICIPANT: &str = "KIT_TEST_PARTICIPANT";
/// Says to the test binary that it is to print an effect count: `DATABASE_URL|SAGA`.
pub(crate) const AS_LEDGER: &str = "KIT_TEST_LEDGER";

/// Longer than the call that it is for.
const LEASE: Duration = Duration::from_secs(10);
/// How long a call to somebody else takes in lease mode: most are quick, and those of one saga in four are not, so that two workers on
/// the same sagas overtake each other. A command's id begins with a digest of its saga's.
fn call(command: &Received) -> Duration {
    Duration::from_millis(if command.id.as_bytes()[0].is_multiple_of(4) { 60 } else { 3 })
}

/// A participant's process, its database, and the commands that the kit is given for them.
pub(crate) struct BarrierParticipant {
    pub(crate) database: TestDatabase,
    pub(crate) restart_command: String,
    pub(crate) ledger_command: String,
    folder: std::path::PathBuf,
}

impl Drop for BarrierParticipant {
    fn drop(&mut self) {
        _ = shell(&format!("kill -9 $(cat {}/pid)", self.folder.display()));
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn shell(command: &str) -> Output {
    Command::new("sh").args(["-c", command]).output().unwrap()
}

impl BarrierParticipant {
    /// Starts it on this topic. `mode`: `barrier` (one transaction) or `lease` (two, and a call between them).
    pub(crate) async fn start(topic: &str, mode: &str) -> Self {
        let database = TestDatabase::empty(&format!("kit_{mode}")).await;
        participant::apply(&mut database.connect().await).await.unwrap();
        database.run("CREATE TABLE effect (saga_id uuid, step text, change bigint)").await;
        database.run("CREATE TABLE busy (command_id uuid)").await;
        database.run("CREATE TABLE at_work (worker text PRIMARY KEY)").await;
        database.run("CREATE SEQUENCE reference").await;
        let folder = std::env::temp_dir().join(topic);
        std::fs::create_dir_all(&folder).unwrap();
        let (program, at) = (std::env::current_exe().unwrap(), folder.display());
        let (program, url) = (program.display(), &database.url);
        let restart_command = format!(
            "test ! -e {at}/pid || kill -9 $(cat {at}/pid); \
             {AS_PARTICIPANT}='{topic}|{url}|{mode}' {program} --exact kit::participant_process --ignored > {at}/log 2>&1 & echo $! > {at}/pid"
        );
        let ledger_command = format!(
            "{AS_LEDGER}='{url}|{{saga}}' {program} --exact kit::ledger_process --ignored --nocapture | sed -n 's/.*effects=//p'"
        );
        let output = shell(&restart_command);
        assert!(output.status.success(), "{output:?}");
        Self { database, restart_command, ledger_command, folder }
    }
}

/// Refuses data that say so, writes effects down, and gives each answer a number that could not come twice by chance.
struct Ledgered;

impl Handler for Ledgered {
    async fn handle(&mut self, transaction: &mut PgConnection, command: &Received) -> Result<Done, sqlx::Error> {
        if command.data.get().contains("refuse") {
            return Ok(Done::Failure { code: "OUT_OF_STOCK", message: "none left".to_owned(), retryable: false });
        }
        let change: i64 = if command.action == Action::Do { 1 } else { -1 };
        let statement = "INSERT INTO effect VALUES ($1, $2, $3) RETURNING nextval('reference')";
        let query = sqlx::query_as(statement).bind(command.saga_id).bind(&*command.step).bind(change);
        let (reference,): (i64,) = query.fetch_one(transaction).await?;
        Ok(Done::Success(Json::parse(format!(r#"{{"reference":{reference}}}"#).as_bytes()).unwrap()))
    }
}

/// What the participant's process does: serves until it is killed.
pub(crate) fn serve(said: &str) {
    let [topic, url, mode] = said.split('|').collect::<Vec<_>>().try_into().unwrap();
    std::thread::scope(|scope| {
        for worker in ["one", "two"] {
            let kafka = KafkaSettings::new(&bootstrap(), &format!("{topic}-participant"), Some(worker.to_owned()));
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                match mode {
                    "lease" => runtime.block_on(serve_with_lease(&kafka, topic, url, worker)),
                    _ => runtime.block_on(async {
                        let mut service = Service::connect("ledgered", &kafka, &[topic], url, Ledgered).await.unwrap();
                        service.run(&AtomicBool::new(false)).await.unwrap();
                    }),
                }
            });
        }
    });
}

/// Two transactions a command, and between them a call that holds none open. Each is answered before the next is looked at.
async fn serve_with_lease(kafka: &KafkaSettings, topic: &str, url: &str, worker: &str) {
    let mut group = Group::join(kafka, &[topic]).unwrap();
    let mut producer = Producer::new(kafka).unwrap();
    let mut database = PgConnection::connect(url).await.unwrap();
    let mut tag = 0;
    loop {
        for (record, event) in group.poll(50, Duration::from_millis(20)) {
            let Ok(command) = event.and_then(|event| wire::received(&record, &event)) else { continue };
            let at_work = sqlx::query("INSERT INTO at_work VALUES ($1) ON CONFLICT DO NOTHING").bind(worker);
            at_work.execute(&mut database).await.unwrap();
            let Some(answer) = handle_with_lease(&mut database, &command).await else { continue };
            tag += 1;
            producer.emit(tag, vec![wire::answer(&command, "leased", &answer)]);
        }
        while producer.unacknowledged() > 0 {
            _ = producer.delivered();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        group.commit();
    }
}

async fn handle_with_lease(database: &mut PgConnection, command: &Received) -> Option<Answer> {
    let mut first = database.begin().await.unwrap();
    let begun = participant::begin(&mut first, command, Some(LEASE)).await.unwrap();
    if begun == Begun::Busy {
        sqlx::query("INSERT INTO busy VALUES ($1)").bind(command.id).execute(&mut *first).await.unwrap();
    }
    first.commit().await.unwrap();
    match begun {
        Begun::Answer(answer) => return Some(answer),
        Begun::Busy => return None,
        Begun::Run => tokio::time::sleep(call(command)).await,
    }
    let mut second = database.begin().await.unwrap();
    let done = Ledgered.handle(&mut second, command).await.unwrap();
    let (outcome, data, code) = match done {
        Done::Success(data) => (Outcome::Success, data, None),
        Done::Failure { code, .. } => (Outcome::Failure, Json::empty_object(), Some(code.into())),
    };
    let id = format!("{}:answer", command.id).into();
    let answer = Answer { id, outcome, data, code, retryable: false, without_effect: false };
    participant::finish(&mut second, command, &answer).await.unwrap();
    second.commit().await.unwrap();
    Some(answer)
}

/// What the ledger's process does: prints the effects of a saga.
pub(crate) fn count(said: &str) {
    let (url, saga) = said.split_once('|').unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let effects: i64 = runtime.block_on(async {
        let mut database = PgConnection::connect(url).await.unwrap();
        let statement = "SELECT coalesce(sum(change), 0)::bigint FROM effect WHERE saga_id = $1";
        let query = sqlx::query_as(statement).bind(uuid::Uuid::try_parse(saga).unwrap());
        let (effects,): (i64,) = query.fetch_one(&mut database).await.unwrap();
        effects
    });
    println!("effects={effects}");
}
