//! A private Postgres: found, made in a temporary folder, stopped and removed at the end. Settings are as safe as they come: `dev` shows
//! the real thing.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, chown, geteuid};
use sqlx::{Connection as _, PgConnection};

/// Servers that this process has started: each has a folder of its own.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// How long the server may take to answer.
const START: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// Why there is no private Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// There are no binaries.
    #[error("find Postgres: neither on PATH nor below /usr/lib/postgresql; on Debian: apt-get install postgresql")]
    NotFound,
    /// Something did not work.
    #[error("{attempted}: {message}")]
    Failed {
        /// What.
        attempted: &'static str,
        /// Why.
        message: String,
    },
}

/// A running server that ends with this value.
#[derive(Debug)]
pub struct PrivatePostgres {
    server: Child,
    folder: PathBuf,
    port: u16,
}

fn failed(attempted: &'static str) -> impl Fn(std::io::Error) -> PostgresError {
    move |error| PostgresError::Failed { attempted, message: error.to_string() }
}

impl PrivatePostgres {
    /// Makes and starts a server.
    ///
    /// # Errors
    /// There is none to be found, or it does not start.
    pub async fn start() -> Result<Self, PostgresError> {
        let binaries = find().ok_or(PostgresError::NotFound)?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("sagabus-postgres-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(failed("make a folder for Postgres"))?;
        // Postgres refuses to run as root.
        let user = if geteuid().is_root() { unprivileged() } else { None };
        if let Some(user) = &user {
            chown(&folder, Some(user.uid), Some(user.gid))
                .map_err(|errno| failed("give Postgres its folder")(errno.into()))?;
        }
        let data = folder.join("data");
        let made = command(&binaries, "initdb", user.as_ref())
            .args(["--username=sagabus", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
            .arg(&data)
            .output()
            .map_err(failed("run initdb"))?;
        if !made.status.success() {
            let message = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(PostgresError::Failed { attempted: "run initdb", message });
        }
        let port = free_port().map_err(failed("find a free port"))?;
        let server = command(&binaries, "postgres", user.as_ref())
            .arg("-D")
            .arg(&data)
            .args([
                "-p",
                &port.to_string(),
                "-h",
                "127.0.0.1",
                "-k",
                "",
                "-c",
                "max_wal_size=1GB",
                "-c",
                "shared_buffers=128MB",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed("start Postgres"))?;
        let postgres = Self { server, folder, port };
        postgres.wait().await?;
        Ok(postgres)
    }

    async fn wait(&self) -> Result<(), PostgresError> {
        let until = tokio::time::Instant::now() + START;
        loop {
            match PgConnection::connect(&self.url("postgres")).await {
                Ok(_) => return Ok(()),
                Err(error) if tokio::time::Instant::now() > until => {
                    return Err(PostgresError::Failed {
                        attempted: "reach the private Postgres",
                        message: error.to_string(),
                    });
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// The address of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://sagabus@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Ok(id) = i32::try_from(self.server.id()) {
            // Fast shutdown; when it is gone already there is nothing to stop.
            _ = kill(Pid::from_raw(id), Signal::SIGINT);
        }
        _ = self.server.wait();
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn command(binaries: &Path, name: &str, user: Option<&User>) -> Command {
    let mut command = Command::new(binaries.join(name));
    command.current_dir("/");
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command.process_group(0);
    command
}

fn unprivileged() -> Option<User> {
    ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten())
}

/// The folder of `initdb` and `postgres`: the newest below /usr/lib/postgresql, else on PATH.
fn find() -> Option<PathBuf> {
    let has_both = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    versions.sort();
    let on_path =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    versions.into_iter().rev().chain(on_path).find(has_both)
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
