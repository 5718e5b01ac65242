//! What stories are told with: an engine at work on a real Postgres, and the console, straight and at a server.

use std::process::{Command, Output, Stdio};

use sagabus::engine::wall_clock;
use sagabus::operations::Role;

use super::cli::{code, error, out, sagabus};
use super::remote::at_server;
use super::support::listening::Listening;
use super::verify::Busy;

/// An engine, its participants, and a server on the same database.
pub(super) struct Story {
    pub(super) busy: Busy,
    listening: Listening,
}

impl Story {
    pub(super) async fn begin(busy: Busy) -> Self {
        let listening = Listening::guarded(&busy.database).await;
        Self { busy, listening }
    }

    /// At the database.
    pub(super) fn straight(&self, arguments: &[&str]) -> Output {
        sagabus(Some(&self.busy.database.url), arguments)
    }

    /// At the server, with a token of this role.
    pub(super) fn at_server(&self, role: Role, arguments: &[&str]) -> Output {
        self.served(role, arguments).output().unwrap()
    }

    /// An action at the server, which the engine has to decide.
    pub(super) async fn act_at_server(&mut self, role: Role, arguments: &[&str]) -> Output {
        let command = self.served(role, arguments);
        beside(&mut self.busy, command).await
    }

    fn served(&self, role: Role, arguments: &[&str]) -> Command {
        at_server(&format!("http://{}", self.listening.address), self.listening.of(role), arguments)
    }

    /// Turns until it is so.
    pub(super) async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let until = wall_clock().plus_millis(30_000);
        while !is_so(self) {
            assert!(wall_clock() < until, "{what}");
            self.busy.turn().await;
        }
    }

    /// Turns until a statement counts so many.
    pub(super) async fn until_counted(&mut self, statement: &str, count: i64) {
        let until = wall_clock().plus_millis(30_000);
        while self.busy.database.count(statement).await < count {
            assert!(wall_clock() < until, "{statement}: {count}");
            self.busy.turn().await;
        }
    }
}

/// Runs a command while the engine is at work.
pub(super) async fn beside(busy: &mut Busy, mut command: Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while child.try_wait().unwrap().is_none() {
        busy.turn().await;
    }
    child.wait_with_output().unwrap()
}

/// How it ended, and a word of what was said.
pub(super) fn ends(output: &Output, exit: i32, word: &str) {
    let said = format!("{}{}", out(output), error(output));
    assert!(code(output) == exit && said.contains(word), "exit {} instead of {exit}, {word}: {said}", code(output));
}
