//! The engines' processes: `sagabus serve`, each behind proxies of its own, with what a supervisor does for it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sagabus::core::Timestamp;
use sagabus::engine::wall_clock;

/// A process that is killed with this value.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// One engine.
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    /// What is run the next time that it is started.
    pub(crate) program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    process: Option<Process>,
    /// Its process, 0 while there is none: for those who kill it.
    pub(crate) id: Arc<AtomicI32>,
    /// Whether its supervisor starts it again.
    pub(crate) comes_back: bool,
    start_at: Timestamp,
}

/// Between two starts of an engine that finds no Kafka or no Postgres.
const PAUSE_MS: u64 = 300;

impl Engine {
    pub(crate) fn new(name: &'static str, arguments: Vec<String>, log: PathBuf) -> Self {
        let (process, id) = (None, Arc::default());
        let program = PathBuf::from(env!("CARGO_BIN_EXE_sagabus"));
        let mut engine =
            Self { name, program, arguments, log, process, id, comes_back: true, start_at: Timestamp::ZERO };
        engine.start();
        engine
    }

    fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let started = Command::new(&self.program)
            .args(["serve", "--from", "earliest", "--instance", self.name])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let process = started.expect("the engine starts");
        self.id.store(i32::try_from(process.id()).unwrap(), Ordering::SeqCst);
        self.process = Some(Process(process));
    }

    /// Sends a signal, if there is a process. Returns when.
    pub(crate) fn signal(&self, signal: Signal) -> Timestamp {
        if let Some(process) = &self.process {
            kill(Pid::from_raw(i32::try_from(process.0.id()).unwrap()), signal).expect("it is ours until it is reaped");
        }
        wall_clock()
    }

    /// How many kilobytes of memory its process has had at most.
    pub(crate) fn memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id.load(Ordering::SeqCst)));
        let status = status.unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|words| words.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    }

    /// Lets its process open files up to this number only. Returns whether the system does.
    pub(crate) fn limit_files(&self, number: u32) -> bool {
        let process = self.id.load(Ordering::SeqCst).to_string();
        let limited = Command::new("prlimit").args(["--pid", &process, &format!("--nofile={number}:")]).status();
        limited.is_ok_and(|status| status.success())
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.0.try_wait().unwrap()?;
        self.process = None;
        self.id.store(0, Ordering::SeqCst);
        Some(status)
    }

    /// Starts it again when it was killed, or when it said that Kafka or Postgres is not reachable. Any other end is told.
    pub(crate) fn tend(&mut self) -> Option<String> {
        if let Some(status) = self.ended() {
            let was_killed = status.signal() == Some(Signal::SIGKILL as i32);
            if !was_killed && status.code() != Some(6) {
                return Some(format!("engine {} ended by itself ({status}): see {}", self.name, self.log.display()));
            }
            self.start_at = if was_killed { Timestamp::ZERO } else { wall_clock().plus_millis(PAUSE_MS) };
        }
        if self.process.is_none() && self.comes_back && wall_clock() >= self.start_at {
            self.start();
        }
        None
    }

    /// How often its log says this.
    pub(crate) fn said(&self, words: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap_or_default().matches(words).count()
    }
}
