//! Masked fields as they are, for who says why.

use clap::Args;

use crate::operations::{self, Exit, Failure, Places, Sight};

/// Whether masked fields are shown, and why.
#[derive(Clone, Debug, Args)]
pub(super) struct RevealArguments {
    /// Show masked fields as they are; told to the audit. Needs --reason.
    #[arg(long, requires = "reason")]
    pub(super) reveal: bool,
    /// Why masked fields are shown; stored.
    #[arg(long, value_name = "TEXT", requires = "reveal")]
    reason: Option<String>,
}

impl RevealArguments {
    /// How much is shown of `target`. The audit has been told before anything is.
    ///
    /// # Errors
    /// The reason is empty (exit 2), or the audit cannot be told (6).
    pub(super) async fn sight(&self, places: &Places, who: &str, target: &str) -> Result<Sight, Failure> {
        match &self.reason {
            Some(reason) if self.reveal => operations::reveal(&places.console().await?, who, target, reason).await,
            Some(_) | None => Ok(Sight::Masked),
        }
    }

    /// A server shows what the token's role may see, and nobody else can reveal more.
    ///
    /// # Errors
    /// More is asked for (exit 2).
    pub(super) fn is_of_the_token(&self) -> Result<Sight, Failure> {
        if self.reveal {
            let hint = "a token of the role approver sees masked fields as they are, without --reveal";
            return Err(Failure::new(Exit::Usage, "no server reveals more than the token may see", hint));
        }
        Ok(Sight::Masked)
    }
}
