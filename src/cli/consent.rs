//! What every verb that changes something asks of the person: why, and whether they are sure.

use std::io::{IsTerminal as _, Write as _};

use clap::Args;

use crate::operations::{Exit, Failure};

/// Why, and whether to ask.
#[derive(Clone, Debug, Args)]
pub(super) struct Consent {
    /// Why; stored.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show what would follow; write nothing. Exit 4 where it would be refused.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask. Needed where nobody can be asked.
    #[arg(long)]
    yes: bool,
    /// Never ask, as without a terminal.
    #[arg(long)]
    no_input: bool,
}

impl Consent {
    /// The reason, checked before anything is done.
    ///
    /// # Errors
    /// It is empty, or the person has to be asked and cannot be (exit 2).
    pub(super) fn reason(&self) -> Result<String, Failure> {
        let said = if self.dry_run { Some("dry run") } else { self.reason.as_deref() };
        let reason = match said.map(str::trim) {
            None => return Err(Failure::new(Exit::Usage, "--reason is missing", "say why: it is stored")),
            Some("") => return Err(Failure::new(Exit::Usage, "--reason is empty", "say why: it is stored")),
            Some(reason) => reason.to_owned(),
        };
        let can_ask = !self.no_input && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if self.asks() && !can_ask {
            let hint = "where nobody can be asked say --yes, or look first with --dry-run";
            return Err(Failure::new(Exit::Usage, "--yes is missing", hint));
        }
        Ok(reason)
    }

    /// A plan asks nothing, and takes no reason: both belong to who applies it.
    ///
    /// # Errors
    /// One was given (exit 2): nobody should believe that it was done.
    pub(super) fn is_for_a_plan(&self) -> Result<(), Failure> {
        let given = [(self.reason.is_some(), "--reason"), (self.yes, "--yes")];
        match given.into_iter().find(|(is_given, _)| *is_given) {
            None => Ok(()),
            Some((_, flag)) => {
                let message = format!("{flag} belongs to apply: many sagas are only planned");
                Err(Failure::new(Exit::Usage, message, "plan first, then sagabus apply PLAN --reason TEXT"))
            }
        }
    }

    /// True when the person is asked before it is done.
    pub(super) fn asks(&self) -> bool {
        !self.dry_run && !self.yes
    }

    /// Asks, if the person is to be asked.
    ///
    /// # Errors
    /// It is not wanted (exit 1).
    pub(super) fn ask(&self, question: &str) -> Result<(), Failure> {
        if !self.asks() || is_wanted(question) {
            return Ok(());
        }
        Err(Failure::new(Exit::Failed, "not wanted: nothing was asked for", ""))
    }
}

fn is_wanted(question: &str) -> bool {
    let mut stderr = std::io::stderr();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    asked.is_ok()
        && std::io::stdin().read_line(&mut answer).is_ok()
        && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}
