//! A stage for one row of the table: topics, a database and a ledger of its own, two engines behind their proxies, participants, load.
//! And the world that stages share: Kafka, the engines' Postgres, the proxies.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sagabus::core::Timestamp;
use sagabus::engine::wall_clock;
use sagabus::participant;
use sqlx::{Connection as _, PgConnection};

use super::audit;
use super::cluster::{Server, own_folder};
use super::engines::{Engine, Process};
use super::load::Load;
use super::participants::{STEPS, definition};
use super::proxy::{Armed, Protocol, Proxy, Weather};

/// Sagas of a stage have ended this long after the last fault.
const END_SECONDS: u64 = 150;
const LOOK: Duration = Duration::from_millis(20);

/// What all stages share.
pub(crate) struct World {
    /// Kafka without a proxy.
    pub(crate) kafka: String,
    /// Whether engines reach it by their proxies.
    is_proxied: bool,
    /// Kafka's listener that asks for a password: `user:password@address`.
    pub(crate) guarded: String,
    /// In front of Kafka, one for each engine.
    pub(crate) kafkas: [Proxy; 2],
    /// In front of the engines' Postgres, one for each engine.
    pub(crate) postgreses: [Proxy; 2],
    /// Between a primary and its standby.
    pub(crate) replication: Proxy,
    pub(crate) primary: Server,
    pub(crate) home: PathBuf,
    /// Another version's program, if one was given.
    pub(crate) other: Option<PathBuf>,
    /// The participants' Postgres, up to the database's name.
    ledgers: String,
    stages: u32,
    servers: u32,
    /// Whether what engines said is kept: something was violated.
    pub(crate) is_kept: bool,
}

/// A number that a statement gives; `None` when Postgres is away, or has none.
pub(crate) async fn number(url: &str, statement: &str) -> Option<i64> {
    let mut connection = PgConnection::connect(url).await.ok()?;
    let query = sqlx::query_as(sqlx::AssertSqlSafe(statement.to_owned()));
    let (number,): (Option<i64>,) = query.fetch_one(&mut connection).await.ok()?;
    number
}

/// Runs statements that must succeed.
async fn run(url: &str, statements: &str) {
    let mut connection = PgConnection::connect(url).await.expect("Postgres answers");
    let statements = sqlx::AssertSqlSafe(statements.to_owned());
    sqlx::raw_sql(statements).execute(&mut connection).await.expect("the statements run");
}

/// `sagabus` with these words. Returns whether it says yes.
pub(crate) fn sagabus(arguments: &[&str]) -> bool {
    let done = Command::new(env!("CARGO_BIN_EXE_sagabus")).args(arguments).output().expect("sagabus runs");
    if !done.status.success() {
        println!("sagabus {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    }
    done.status.success()
}

/// `scripts/services` with this verb.
pub(crate) fn services(verb: &str) {
    let done = Command::new("scripts/services").arg(verb).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(done.expect("scripts/services runs").success(), "scripts/services {verb}");
}

impl World {
    pub(crate) async fn make(other: Option<PathBuf>) -> Self {
        let told = "run it by make chaos, which starts Kafka and Postgres";
        let kafka = std::env::var("SAGABUS_KAFKA").expect(told);
        let guarded = std::env::var("SAGABUS_KAFKA_GUARDED").expect(told);
        let pairs = std::env::var("SAGABUS_KAFKA_BEHIND_PROXIES").expect(told);
        let pairs: Vec<(u16, u16)> = pairs
            .split_whitespace()
            .filter_map(|pair| pair.split_once(':'))
            .map(|(listens, advertises)| (listens.parse().unwrap(), advertises.parse().unwrap()))
            .collect();
        let ledgers = std::env::var("SAGABUS_DATABASE_URL").expect(told);
        let (ledgers, _) = ledgers.rsplit_once('/').expect("an address ends in a database");
        let home = std::env::temp_dir().join(format!("sagabus-chaos-{}", std::process::id()));
        own_folder(&home);
        let primary = Server::primary(&home);
        let kafka_proxy = async |place: usize| Proxy::listen(Protocol::Kafka, pairs[place].1, pairs[place].0).await;
        let postgres_proxy = async || Proxy::listen(Protocol::Postgres, 0, primary.port).await;
        Self {
            kafka,
            is_proxied: true,
            guarded,
            kafkas: [kafka_proxy(0).await, kafka_proxy(1).await],
            postgreses: [postgres_proxy().await, postgres_proxy().await],
            replication: Proxy::listen(Protocol::Opaque, 0, primary.port).await,
            primary,
            home,
            other,
            ledgers: ledgers.to_owned(),
            stages: 0,
            servers: 0,
            is_kept: false,
        }
    }

    /// Stages are on another Kafka from now on, with or without the proxies. Returns the former one.
    pub(crate) fn move_to(&mut self, kafka: String, is_proxied: bool) -> String {
        self.is_proxied = is_proxied;
        std::mem::replace(&mut self.kafka, kafka)
    }

    /// Where an engine reaches Kafka.
    fn kafka_of(&self, place: usize) -> String {
        if self.is_proxied { format!("127.0.0.1:{}", self.kafkas[place].port) } else { self.kafka.clone() }
    }

    /// All proxies are as if they were not there.
    pub(crate) fn heal(&self) {
        for proxy in self.kafkas.iter().chain(&self.postgreses).chain([&self.replication]) {
            proxy.set(Weather::Clear);
        }
    }

    /// A standby of the present primary, behind the replication proxy.
    pub(crate) async fn standby(&mut self) -> Server {
        self.servers += 1;
        self.replication.switch(self.primary.port);
        let name = format!("standby-{}", self.servers);
        Server::standby(&self.home, &name, self.replication.port, &self.primary).await
    }

    /// From now on engines reach this server. The former one is returned.
    pub(crate) fn switch(&mut self, to: Server) -> Server {
        let former = std::mem::replace(&mut self.primary, to);
        self.postgreses.iter().for_each(|proxy| proxy.switch(self.primary.port));
        former
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.primary.crash();
        if self.is_kept {
            println!("what the engines said is in {}", self.home.display());
        } else {
            _ = std::fs::remove_dir_all(&self.home);
        }
    }
}

/// Whose sagas must go on for a fault to count as overcome.
#[derive(Clone, Debug)]
pub(crate) enum Of {
    /// Sagas that these writers had in hand, by somebody else.
    Dead(Vec<i64>),
    /// Any, by this engine.
    Engine(&'static str),
    /// Any, by this engine since it came back: its former registrations are these.
    Restarted(&'static str, Vec<i64>),
}

/// How a stage differs from the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Groups {
    Shared,
    /// Each engine believes that it owns everything.
    Apart,
}

pub(crate) struct Stage {
    pub(crate) name: String,
    folder: PathBuf,
    database: String,
    pub(crate) ledger: String,
    pub(crate) engines: [Engine; 2],
    participants: Process,
    pub(crate) load: Load,
    pub(crate) violations: Vec<String>,
    /// Triggers beside those of the load, less those that were deleted from Kafka before anybody read them.
    pub(crate) more_triggers: i64,
    /// Replies may come before the trigger whose commit was lost.
    pub(crate) may_park: bool,
}

impl Stage {
    /// Everything runs, and both engines have written something.
    pub(crate) async fn up(world: &mut World, groups: Groups) -> Self {
        Self::up_with(world, groups, &[]).await
    }

    /// The same, with more words for `sagabus serve`.
    pub(crate) async fn up_with(world: &mut World, groups: Groups, words: &[&str]) -> Self {
        world.stages += 1;
        let name = format!("chaos-{}-{}", std::process::id(), world.stages);
        let folder = world.home.join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("chaos.saga.yaml"), definition(&name)).unwrap();
        let database = name.replace('-', "_");
        let (server, ledger) = (world.primary.url("postgres"), format!("{}/{database}", world.ledgers));
        run(&server, &format!("CREATE DATABASE {database}")).await;
        run(&format!("{}/postgres", world.ledgers), &format!("CREATE DATABASE {database}")).await;
        participant::apply(&mut PgConnection::connect(&ledger).await.unwrap()).await.unwrap();
        let effects = "CREATE TABLE effect (id bigserial PRIMARY KEY, saga_id uuid NOT NULL, step text NOT NULL, action text NOT NULL)";
        run(&ledger, effects).await;
        let url = world.primary.url(&database);
        assert!(sagabus(&["migrate", "--database-url", &url]));
        // For our own questions; the engine's statements do not use it.
        run(&url, "CREATE INDEX journal_by_time ON journal (at)").await;
        let at = folder.to_string_lossy();
        assert!(sagabus(&["topics", "ensure", "--kafka", &world.kafka, "--definitions", &at, "--partitions", "4"]));
        let engines = [0, 1].map(|place| engine(world, place, &name, &database, &folder, groups, words));
        let participants = Command::new(std::env::current_exe().unwrap())
            .args(["--participants", &name, "--ledger", &ledger])
            .env("SAGABUS_KAFKA", &world.kafka)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("participants.log")).unwrap())
            .spawn();
        let mut stage = Self {
            load: Load::start(&world.kafka, &name),
            participants: Process(participants.expect("participants start")),
            name,
            folder,
            database,
            ledger,
            engines,
            violations: Vec::new(),
            more_triggers: 0,
            may_park: false,
        };
        stage.both_resume(world, Timestamp::ZERO).await;
        stage
    }

    pub(crate) fn url(&self, world: &World) -> String {
        world.primary.url(&self.database)
    }

    /// One engine more, which reaches Kafka in this way and Postgres directly.
    pub(crate) fn third(&self, world: &World, kafka: Vec<String>) -> Engine {
        let (folder, url) = (self.folder.to_string_lossy(), self.url(world));
        let places = ["--definitions", &folder, "--group", &self.name, "--database-url", &url].map(str::to_owned);
        Engine::new("c", [places.to_vec(), kafka].concat(), self.folder.join("c.log"))
    }

    /// How often an engine or the participants said this.
    pub(crate) fn said(&self, words: &str) -> usize {
        let participants = std::fs::read_to_string(self.folder.join("participants.log")).unwrap_or_default();
        let engines: usize = self.engines.iter().map(|engine| engine.said(words)).sum();
        engines + participants.matches(words).count()
    }

    /// Sends the participants' process a signal.
    pub(crate) fn signal_participants(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.participants.0.id()).unwrap());
        kill(process, signal).expect("it is ours until it is reaped");
    }

    /// What supervisors do.
    pub(crate) fn tend(&mut self) {
        let ends: Vec<String> = self.engines.iter_mut().filter_map(Engine::tend).collect();
        self.violations.extend(ends);
    }

    /// Lets time pass.
    pub(crate) async fn pass(&mut self, millis: u64) {
        let until = wall_clock().plus_millis(millis);
        while wall_clock() < until {
            self.tend();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// When an armed fault fired; `None` when it did not within this time.
    pub(crate) async fn fired(&mut self, armed: &mut Armed, millis: u64) -> Option<Timestamp> {
        let until = wall_clock().plus_millis(millis);
        while wall_clock() < until {
            self.tend();
            if let Some(at) = armed.fired(LOOK).await {
                return Some(at);
            }
        }
        None
    }

    /// Waits until a statement's number is such; otherwise that is a violation. Returns the number.
    pub(crate) async fn until(
        &mut self,
        world: &World,
        seconds: u64,
        statement: &str,
        is_so: impl Fn(i64) -> bool,
    ) -> Option<i64> {
        let (url, until) = (self.url(world), wall_clock().plus_millis(seconds * 1_000));
        loop {
            self.tend();
            let found = number(&url, statement).await;
            if found.is_some_and(&is_so) {
                return found;
            }
            if wall_clock() > until {
                self.violations.push(format!("not within {seconds} s: {statement}: {found:?}"));
                return None;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How many milliseconds after `since` the first row was written that shows the fault to be overcome.
    pub(crate) async fn resumed(&mut self, world: &World, since: Timestamp, of: &Of) -> Option<u64> {
        let moment = |micros: i64| format!("(timestamptz 'epoch' + {micros} * interval '1 microsecond')");
        let (at, before) = (moment(since.micros()), moment(since.micros() - 10_000_000));
        let first = "SELECT (extract(epoch FROM min(j.at)) * 1000000)::bigint FROM journal j";
        let statement = match of {
            Of::Engine(name) => {
                format!("{first} JOIN writer w ON w.id = j.writer WHERE w.instance = '{name}' AND j.at > {at}")
            }
            Of::Restarted(name, writers) => {
                let dead = writers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                format!(
                    "{first} JOIN writer w ON w.id = j.writer \
                     WHERE w.instance = '{name}' AND w.id NOT IN ({dead}) AND j.at > {at}"
                )
            }
            Of::Dead(writers) => {
                let dead = writers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                format!(
                    "WITH last AS (SELECT DISTINCT ON (saga_id) saga_id, writer FROM journal \
                     WHERE at BETWEEN {before} AND {at} ORDER BY saga_id, seq DESC) \
                     {first} JOIN last l USING (saga_id) WHERE j.at > {at} AND l.writer IN ({dead}) AND j.writer NOT IN ({dead})"
                )
            }
        };
        let found = self.until(world, 60, &statement, |_| true).await?;
        Some(Timestamp::from_micros(found).millis_since(since))
    }

    /// Both engines have written something since; how long the slower one took.
    pub(crate) async fn both_resume(&mut self, world: &World, since: Timestamp) -> Option<u64> {
        let first = self.resumed(world, since, &Of::Engine("a")).await?;
        let second = self.resumed(world, since, &Of::Engine("b")).await?;
        Some(first.max(second))
    }

    /// Registrations of this engine.
    pub(crate) async fn writers(&self, world: &World, place: usize) -> Vec<i64> {
        let mut connection = PgConnection::connect(&self.url(world)).await.expect("Postgres answers");
        let query = sqlx::query_as("SELECT id FROM writer WHERE instance = $1").bind(self.engines[place].name);
        let found: Vec<(i64,)> = query.fetch_all(&mut connection).await.expect("the statement runs");
        found.into_iter().map(|(id,)| id).collect()
    }

    /// Ends the load, waits for every saga, and holds everything against everything. Returns what does not hold.
    pub(crate) async fn finish(mut self, world: &World) -> Vec<String> {
        world.heal();
        self.engines.iter_mut().for_each(|engine| engine.comes_back = true);
        let published = i64::try_from(self.load.end()).unwrap();
        let expected = published + self.more_triggers;
        let ended = "SELECT count(*) FROM saga WHERE finished_at IS NOT NULL";
        self.until(world, END_SECONDS, ended, |count| count >= expected).await;
        self.until(world, 20, "SELECT count(*) FROM unemitted", |count| count == 0).await;
        self.violations.extend(audit::check(world, &self, expected).await);
        for engine in &self.engines {
            engine.signal(Signal::SIGTERM);
        }
        let until = wall_clock().plus_millis(10_000);
        for engine in &mut self.engines {
            let status = loop {
                match engine.ended() {
                    None if wall_clock() < until => tokio::time::sleep(LOOK).await,
                    ended => break ended,
                }
            };
            if !status.is_some_and(|status| status.success()) {
                self.violations
                    .push(format!("engine {} does not end well when it is asked to: {status:?}", engine.name));
            }
        }
        drop(self.participants);
        let (server, ledgers) = (world.primary.url("postgres"), format!("{}/postgres", world.ledgers));
        if self.violations.is_empty() {
            for url in [server, ledgers] {
                run(&url, &format!("DROP DATABASE {} WITH (FORCE)", self.database)).await;
            }
            _ = std::fs::remove_dir_all(&self.folder);
        }
        audit::forget_topics(world, &self.name, &STEPS).await;
        self.violations
    }
}

fn engine(
    world: &World,
    place: usize,
    name: &str,
    database: &str,
    folder: &Path,
    groups: Groups,
    words: &[&str],
) -> Engine {
    let instance = ["a", "b"][place];
    let group = if groups == Groups::Apart { format!("{name}-{instance}") } else { name.to_owned() };
    let url = format!("postgres://sagabus@127.0.0.1:{}/{database}?sslmode=disable", world.postgreses[place].port);
    let (kafka, folder_name) = (world.kafka_of(place), folder.to_string_lossy());
    let places = ["--definitions", &folder_name, "--group", &group, "--database-url", &url, "--kafka", &kafka];
    let arguments = places.iter().chain(words).map(|word| (*word).to_owned()).collect();
    Engine::new(instance, arguments, folder.join(format!("{instance}.log")))
}
