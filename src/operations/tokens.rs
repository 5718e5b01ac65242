//! `tokens create|list|revoke`: who is let in over HTTP. Each is told to the audit in the statement that does it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::{Sha256, Timestamp};
use crate::store::{Console, NewToken, StoreError, TokenRow, TokenState};

use super::access::{Role, TOKEN_PREFIX};
use super::failure::{Exit, Failure};
use super::moments::Moment;
use super::words::{Word, word};

/// A token that is asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// Who gets it: letters, digits, `.`, `_`, `@`, `-`, at most 64. A name is never given twice.
    #[schema(pattern = "^[A-Za-z0-9._@-]{1,64}$")]
    pub name: String,
    /// What they may.
    pub role: Role,
    /// The definitions that it is for; absent: all.
    #[schema(min_items = 1)]
    pub definitions: Option<Vec<String>>,
    /// Until when it is good, RFC 3339; absent: until it is revoked.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// Why; stored.
    #[schema(min_length = 1)]
    pub reason: String,
}

/// A token as programs read it, without what it is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenJson {
    /// Who has it.
    pub name: String,
    /// What they may.
    pub role: String,
    /// The definitions that it is for; null: all.
    pub definitions: Option<Vec<String>>,
    /// When it was made.
    pub created_at: Moment,
    /// Until when it is good.
    pub expires_at: Option<Moment>,
    /// When it was revoked.
    pub revoked_at: Option<Moment>,
    /// `valid`, `expired` or `revoked`.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub state: Word,
}

/// A new token. It is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MadeToken {
    /// Who has it.
    pub name: String,
    /// What they may.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub role: Word,
    /// The definitions that it is for; null: all.
    pub definitions: Option<Vec<String>>,
    /// Until when it is good.
    pub expires_at: Option<Moment>,
    /// What is shown: a secret.
    pub token: String,
}

impl std::fmt::Debug for MadeToken {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeToken").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Makes a token and keeps its hash.
///
/// # Errors
/// The request cannot be (exit 2), the name was given before (4), the database does not answer (6).
pub async fn create_token(console: &Console, request: &TokenRequest, who: &str) -> Result<MadeToken, Failure> {
    if request.reason.trim().is_empty() {
        return Err(Failure::usage("reason is empty: say why, it is stored"));
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    if !(1..=64).contains(&request.name.len()) || !request.name.bytes().all(is_word) {
        return Err(Failure::usage("a name has 1 to 64 letters, digits, '.', '_', '@' or '-'"));
    }
    if request
        .definitions
        .as_ref()
        .is_some_and(|names| names.is_empty() || names.iter().any(|name| name.contains('\0')))
    {
        return Err(Failure::usage("a token for no definition is good for nothing"));
    }
    let expires_at = request.expires_at.as_deref().map(str::parse::<Timestamp>).transpose();
    let expires_at = expires_at.map_err(|no| Failure::usage(format!("expiresAt is not {no}")))?;
    let token = random_token()?;
    let new = NewToken {
        hash: Sha256::of(token.as_bytes()),
        name: request.name.clone(),
        role: request.role.name(),
        definitions: request.definitions.clone(),
        expires_at,
    };
    let made = console.add_token(&new, who, request.reason.trim()).await.map_err(|error| match &error.source {
        StoreError::Refused { message, .. } => Failure::new(Exit::Usage, message.clone(), ""),
        StoreError::Fenced
        | StoreError::CatalogueChanged
        | StoreError::OffsetMoved
        | StoreError::SagaRaced
        | StoreError::Contention(_)
        | StoreError::Unknown(_)
        | StoreError::Newer(_)
        | StoreError::Defect(_) => error.into(),
    })?;
    if !made {
        let message = format!("there is a token called {}", new.name);
        return Err(Failure::new(Exit::Refused, message, "a name is never given twice, so that the audit stays clear"));
    }
    let NewToken { name, role, definitions, .. } = new;
    Ok(MadeToken {
        name,
        role: Role::parse(role).map_or(role, Role::name),
        definitions,
        expires_at: expires_at.map(Moment),
        token,
    })
}

/// `sagabus_` and 256 random bits.
fn random_token() -> Result<String, Failure> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new(Exit::Failed, format!("no randomness: {error}"), ""))?;
    Ok(format!("{TOKEN_PREFIX}{}", const_hex::encode(bytes)))
}

/// All tokens, by name.
///
/// # Errors
/// The database does not answer.
pub async fn tokens(console: &Console) -> Result<Vec<TokenJson>, Failure> {
    Ok(console.tokens().await?.into_iter().map(token_json).collect())
}

fn token_json(row: TokenRow) -> TokenJson {
    let state = match row.state {
        TokenState::Valid => "valid",
        TokenState::Expired => "expired",
        TokenState::Revoked => "revoked",
    };
    TokenJson {
        name: row.name,
        role: row.role,
        definitions: row.definitions,
        created_at: Moment(row.created_at),
        expires_at: row.expires_at.map(Moment),
        revoked_at: row.revoked_at.map(Moment),
        state,
    }
}

/// Revokes a token at once. One that was revoked before stays so.
///
/// # Errors
/// There is none of this name (exit 3), the reason is empty (2), the database does not answer (6).
pub async fn revoke_token(console: &Console, name: &str, who: &str, reason: &str) -> Result<(), Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::new(Exit::Usage, "reason is empty: say why, it is stored", ""));
    }
    match console.revoke_token(name, who, reason.trim()).await? {
        Some(_) => Ok(()),
        None => Err(Failure::new(Exit::NotFound, format!("there is no token called {name}"), "sagabus tokens list")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_256_random_bits_that_are_not_shown_by_accident() {
        let (one, other) = (random_token().unwrap(), random_token().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), TOKEN_PREFIX.len() + 64);
        let made =
            MadeToken { name: "ada".into(), role: "viewer", definitions: None, expires_at: None, token: one.clone() };
        assert!(!format!("{made:?}").contains(&one[TOKEN_PREFIX.len()..]));
    }
}
