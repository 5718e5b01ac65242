//! The engines' Postgres: a primary, and the standby that takes its place. Servers of our own, since they crash, lag, are promoted and
//! run full.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{User, chown, geteuid};
use sqlx::{Connection as _, PgConnection};

/// As durable as a production server, and small.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nshared_buffers = 32MB\nmax_connections = 50\n\
    min_wal_size = 32MB\nmax_wal_size = 128MB\nwal_keep_size = 64MB\nlog_checkpoints = off\n";

/// One server; it stops with this value.
pub(crate) struct Server {
    data: PathBuf,
    pub(crate) port: u16,
}

fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.pop().unwrap_or_default()
}

/// Postgres refuses to run as root.
fn owner() -> Option<User> {
    let is_root = geteuid().is_root();
    is_root.then(|| User::from_name("postgres").ok().flatten().expect("Postgres's packages make this user"))
}

/// Runs one of Postgres's programs to its end. What it says goes into a file beside the data.
fn run(name: &str, data: &Path, arguments: &[&str]) -> bool {
    let said = std::fs::OpenOptions::new().create(true).append(true).open(data.with_extension("said")).unwrap();
    let mut command = Command::new(binaries().join(name));
    command.current_dir("/").arg("-D").arg(data).args(arguments);
    command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said).process_group(0);
    if let Some(user) = owner() {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command.status().expect("Postgres's programs run").success()
}

/// A folder that the servers' owner may fill.
pub(crate) fn own_folder(path: &Path) {
    std::fs::create_dir_all(path).unwrap();
    if let Some(user) = owner() {
        chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("there is a free port").port()
}

impl Server {
    /// A new, empty primary below this folder.
    pub(crate) fn primary(folder: &Path) -> Self {
        let server = Self { data: folder.join("primary"), port: free_port() };
        let made = ["--username=sagabus", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
        assert!(run("initdb", &server.data, &made), "initdb: see {}", server.data.display());
        let settings = server.data.join("postgresql.conf");
        let written = std::fs::read_to_string(&settings).unwrap();
        std::fs::write(&settings, written + SETTINGS).unwrap();
        server.start();
        server
    }

    /// A standby that follows the server behind this port, and streams.
    pub(crate) async fn standby(folder: &Path, name: &str, port: u16, primary: &Self) -> Self {
        let server = Self { data: folder.join(name), port: free_port() };
        let primary_port = port.to_string();
        let copied =
            ["-h", "127.0.0.1", "-U", "sagabus", "-p", &primary_port, "-R", "-X", "stream", "-c", "fast", "--no-sync"];
        assert!(run("pg_basebackup", &server.data, &copied), "pg_basebackup: see {}", server.data.display());
        server.start();
        while primary.number("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'").await != Some(1) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        server
    }

    pub(crate) fn start(&self) {
        assert!(self.try_start(), "it starts: see {}", self.data.display());
    }

    /// False when it does not come up.
    pub(crate) fn try_start(&self) -> bool {
        let options = format!("-p {}", self.port);
        let log = self.data.with_extension("log");
        run("pg_ctl", &self.data, &["-w", "-t", "60", "-s", "-l", &log.to_string_lossy(), "-o", &options, "start"])
    }

    /// It ends at once: no checkpoint, no word to anybody.
    pub(crate) fn crash(&self) {
        // One that has ended by itself is as stopped as it can be.
        run("pg_ctl", &self.data, &["-w", "-t", "60", "-s", "-m", "immediate", "stop"]);
    }

    pub(crate) fn is_running(&self) -> bool {
        run("pg_ctl", &self.data, &["-s", "status"])
    }

    /// How often its log says this.
    pub(crate) fn said(&self, words: &str) -> usize {
        std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default().matches(words).count()
    }

    pub(crate) fn promote(&self) {
        assert!(run("pg_ctl", &self.data, &["-w", "-t", "60", "-s", "promote"]), "see {}", self.data.display());
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://sagabus@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Runs a statement of an administrator's.
    pub(crate) async fn run(&self, statement: &str) {
        let mut connection = PgConnection::connect(&self.url("postgres")).await.expect("Postgres answers");
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        sqlx::raw_sql(statement).execute(&mut connection).await.expect("the statement runs");
    }

    async fn number(&self, statement: &str) -> Option<i64> {
        super::stage::number(&self.url("postgres"), statement).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.data.exists() {
            self.crash();
            _ = std::fs::remove_dir_all(&self.data);
        }
    }
}
