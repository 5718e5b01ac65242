//! `sagabus tokens`: who is let in over HTTP.

use std::process::ExitCode;

use clap::Subcommand;

use crate::core::{NoTimestamp, Timestamp};
use crate::operations::{Failure, Role, Times, TokenJson, TokenRequest};

use super::arguments::{ListOutputArguments, OutputArguments, TimeArguments, duration};
use super::output;
use super::reach::Reach;
use super::render::{printable, table};

#[derive(Debug, Subcommand)]
pub(super) enum TokensVerb {
    /// Make a token and print it, this once: only its hash is kept. Changes something; audited.
    #[command(
        after_help = "Example: sagabus tokens create ada --role operator --definition trade-settlement --expires 720h --reason \"on call\""
    )]
    Create {
        /// Who gets it; never given twice.
        name: String,
        /// What they may: viewer, operator, approver, admin. Each may what those before it may.
        #[arg(long, value_parser = Role::parse)]
        role: Role,
        /// Only for sagas of this definition; may be said several times. Default: all.
        #[arg(long = "definition", value_name = "NAME")]
        definitions: Vec<String>,
        /// Until when it is good: RFC 3339, or from now on, such as 720h. Default: until it is revoked.
        #[arg(long, value_name = "TIME|DURATION", value_parser = expiry)]
        expires: Option<String>,
        /// Why; stored.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        output: OutputArguments,
    },
    /// Tokens by name, without what they are known by.
    #[command(after_help = "Example: sagabus tokens list")]
    List {
        #[command(flatten)]
        times: TimeArguments,
        #[command(flatten)]
        output: ListOutputArguments,
    },
    /// Revoke a token, at once and for ever. Changes something; audited.
    #[command(after_help = "Example: sagabus tokens revoke ada --reason \"lost laptop\"")]
    Revoke {
        /// Who has it.
        name: String,
        /// Why; stored.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// As RFC 3339.
fn expiry(text: &str) -> Result<String, String> {
    if let Ok(length) = duration(text) {
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        return Ok(crate::engine::wall_clock().plus_millis(millis).to_string());
    }
    let at: Timestamp = text.parse().map_err(|_| format!("neither how long, such as 90d, nor {NoTimestamp}"))?;
    Ok(at.to_string())
}

/// Does what the command line says.
pub(super) async fn run(reach: &Reach, verb: TokensVerb, who: &str) -> Result<ExitCode, Failure> {
    match verb {
        TokensVerb::Create { name, role, definitions, expires, reason, output: format } => {
            let definitions = if definitions.is_empty() { None } else { Some(definitions) };
            let request = TokenRequest { name, role, definitions, expires_at: expires, reason };
            let made = reach.create_token(&request, who).await?;
            output::one(format.output, &made, |made| made.token.clone());
            output::note("only its hash is kept: it is not shown again");
        }
        TokensVerb::List { times, output: format } => {
            let found = reach.tokens().await?;
            let times = times.seen_from(crate::engine::wall_clock());
            output::many(format.output, &found, |token| token.name.clone(), |found| listed(found, times));
        }
        TokensVerb::Revoke { name, reason } => {
            reach.revoke_token(&name, who, &reason).await?;
            output::note(&format!("revoked: {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(found: &[TokenJson], times: Times) -> String {
    let mut rows = table(&["NAME", "ROLE", "DEFINITIONS", "STATE", "MADE", "EXPIRES"]);
    for token in found {
        rows.add_row([
            printable(&token.name),
            token.role.clone(),
            token.definitions.as_ref().map_or_else(|| "all".to_owned(), |names| printable(&names.join(", "))),
            token.state.to_owned(),
            times.column(token.created_at.0),
            token.expires_at.map_or_else(|| "never".to_owned(), |at| times.column(at.0)),
        ]);
    }
    rows.trim_fmt()
}
