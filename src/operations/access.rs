//! Who asks, and what they may: tokens, logins, roles, scopes (OPERATIONS.md section 11).
//!
//! A token is 256 random bits; only its SHA-256 is kept. No slow hash and no salt: there is nothing to guess. Roles contain each other.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::Sha256;
use crate::store::{AuditEntry, Console, TokenState};

use super::failure::{Exit, Failure};
use super::oidc;
use super::places::Desk;
use super::sight::Sight;

/// How a token begins, so that people and scanners of secrets know one.
pub const TOKEN_PREFIX: &str = "sagabus_";

/// What somebody may do; each role may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Steer and repair one saga, plan for many, apply small plans, put right what was parked.
    Operator,
    /// Approve and reject, abandon, repeat a step that has succeeded, apply others' large plans, see what is masked.
    Approver,
    /// Tokens and the audit.
    Admin,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// The name that Postgres stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    ///
    /// # Errors
    /// There is none: with those that there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("no such role; there are {}", known()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Somebody who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As the audit names them.
    pub who: String,
    /// What they may.
    pub role: Role,
    /// The definitions whose sagas they may see; `None`: all.
    pub definitions: Option<Vec<String>>,
}

impl Caller {
    /// Whoever reaches a listener that only this machine reaches, as long as no token was ever made.
    pub fn local() -> Self {
        Self { who: "local".to_owned(), role: Role::Admin, definitions: None }
    }

    /// How much of payloads they see: the right to reveal comes with the role approver.
    pub fn sight(&self) -> Sight {
        if self.role >= Role::Approver { Sight::Whole } else { Sight::Masked }
    }

    /// Whether sagas of this definition exist for them.
    pub fn may_see(&self, definition: &str) -> bool {
        self.definitions.as_ref().is_none_or(|names| names.iter().any(|name| name == definition))
    }

    /// Whether they may what needs `role`.
    ///
    /// # Errors
    /// They may not: for people.
    pub fn check(&self, role: Role) -> Result<(), String> {
        if self.role >= role {
            Ok(())
        } else {
            Err(format!("this needs the role {role}, {} is {}", self.who, self.role))
        }
    }

    /// Whether they may what concerns no definition, or all of them.
    ///
    /// # Errors
    /// They may not: for people.
    pub fn check_whole(&self) -> Result<(), String> {
        let Some(names) = &self.definitions else { return Ok(()) };
        Err(format!("this needs a token for all definitions, {} is for {}", self.who, names.join(", ")))
    }
}

/// Why nobody is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// They showed no token, or one that nobody has: nobody can say who it is.
    Unknown(String),
    /// A token that is not good any more.
    Known {
        /// Whose it was.
        who: String,
        /// Why not.
        why: String,
    },
    /// They are who they say, and have nothing to do here.
    Unwelcome {
        /// Who.
        who: String,
        /// Why not.
        why: String,
    },
}

/// Who shows this token: one of ours, or one of the issuer's. Without one, `is_local` lets in whoever is on this machine, as long as
/// nobody could show one: from the first token or a configured issuer on everybody needs one, also when all have been revoked.
///
/// # Errors
/// The database does not answer; or the issuer, of whoever shows one of its tokens.
pub async fn identify(desk: &Desk, token: Option<&str>, is_local: bool) -> Result<Result<Caller, Stranger>, Failure> {
    let console = &desk.reading;
    let Some(token) = token else {
        if is_local && desk.issuer.is_none() && !console.has_tokens().await? {
            return Ok(Ok(Caller::local()));
        }
        return Ok(Err(Stranger::Unknown("show a token: Authorization: Bearer sagabus_...".to_owned())));
    };
    if let Some(issuer) = desk.issuer.as_ref().filter(|_| oidc::is_jwt(token)) {
        return issuer.identify(token).await;
    }
    let Some(row) = console.token(Sha256::of(token.as_bytes())).await? else {
        return Ok(Err(Stranger::Unknown("nobody has this token".to_owned())));
    };
    let who = format!("token:{}", row.name);
    let why = match row.state {
        TokenState::Valid => {
            let role = Role::parse(&row.role).map_err(|error| Failure::new(Exit::Failed, error, ""))?;
            return Ok(Ok(Caller { who, role, definitions: row.definitions }));
        }
        TokenState::Expired => "this token has expired",
        TokenState::Revoked => "this token was revoked",
    };
    Ok(Err(Stranger::Known { who, why: why.to_owned() }))
}

/// Tells the audit of an attempt that was not let through.
///
/// # Errors
/// The database does not answer.
pub async fn denied(
    console: &Console,
    who: &str,
    verb: &str,
    target: &str,
    reason: &str,
    why: &str,
) -> Result<(), Failure> {
    // Foreign words: a reason may be missing, and a path may be long.
    let cut = |text: &str| text.chars().take(500).collect::<String>().replace('\0', "");
    let entry = AuditEntry {
        who: who.to_owned(),
        verb: cut(verb),
        target: cut(target),
        reason: cut(reason),
        outcome: "denied".to_owned(),
        message: Some(cut(why)),
    };
    Ok(console.tell(&entry).await?)
}

/// Whether a listener on an address that others reach may begin: somebody must be able to show a token.
///
/// # Errors
/// No token was ever made and no issuer is configured (exit 2), or the database does not answer.
pub async fn check_reachable(desk: &Desk) -> Result<(), Failure> {
    if desk.issuer.is_some() || desk.reading.has_tokens().await? {
        return Ok(());
    }
    let message = "--listen names an address that others reach, and no token was ever made";
    let hint = "make one first: sagabus tokens create NAME --role viewer --reason TEXT; or say --oidc-issuer; or listen on \
                127.0.0.1";
    Err(Failure::new(Exit::Usage, message, hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_contain_each_other_and_are_read_by_their_names() {
        for (place, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(Role::parse(role.name()), Ok(role));
            let caller = Caller { role, ..Caller::local() };
            let may = Role::ALL.map(|needed| caller.check(needed).is_ok());
            assert_eq!(may.iter().filter(|may| **may).count(), place + 1);
        }
        assert!(Role::parse("root").unwrap_err().contains("viewer, operator, approver, admin"));
    }

    #[test]
    fn a_scope_is_a_list_of_definitions() {
        let caller = Caller { definitions: Some(vec!["a".to_owned()]), ..Caller::local() };
        assert!(caller.may_see("a") && !caller.may_see("b") && caller.check_whole().is_err());
        assert!(Caller::local().may_see("b") && Caller::local().check_whole().is_ok());
    }
}
