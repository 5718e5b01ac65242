//! Tokens as Postgres keeps them: by their hash alone.

use chrono::{DateTime, Utc};

use crate::core::{Sha256, Timestamp};

use super::console::{Console, ConsoleError, failed};
use super::rows::{moment, timestamp};

const TOKEN_INSERT: &str = include_str!("sql/token_insert.sql");
const TOKEN_UPDATE_REVOKED: &str = include_str!("sql/token_update_revoked.sql");
const TOKEN_SELECT_LIST: &str = include_str!("sql/token_select_list.sql");
const TOKEN_SELECT: &str = include_str!("sql/token_select.sql");
const TOKEN_SELECT_ANY: &str = include_str!("sql/token_select_any.sql");

/// A token to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// SHA-256 of it.
    pub hash: Sha256,
    /// Who has it; unique for ever.
    pub name: String,
    /// The role's name.
    pub role: &'static str,
    /// The definitions that it is for; `None`: all.
    pub definitions: Option<Vec<String>>,
    /// Until when it is good.
    pub expires_at: Option<Timestamp>,
}

/// Whether a token is good, by the database's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It is.
    Valid,
    /// Its time is over.
    Expired,
    /// Somebody revoked it.
    Revoked,
}

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Who has it.
    pub name: String,
    /// The role's name.
    pub role: String,
    /// The definitions that it is for; `None`: all.
    pub definitions: Option<Vec<String>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Whether it is good now.
    pub state: TokenState,
}

type TokenColumns =
    (String, String, Option<Vec<String>>, DateTime<Utc>, Option<DateTime<Utc>>, Option<DateTime<Utc>>, String);

fn token((name, role, definitions, created, expires, revoked, state): TokenColumns) -> TokenRow {
    let state = match state.as_str() {
        "valid" => TokenState::Valid,
        "expired" => TokenState::Expired,
        _ => TokenState::Revoked,
    };
    TokenRow {
        name,
        role,
        definitions,
        created_at: timestamp(created),
        expires_at: expires.map(timestamp),
        revoked_at: revoked.map(timestamp),
        state,
    }
}

impl Console {
    /// Keeps a token, audited. False when there is one of this name, good or not.
    ///
    /// # Errors
    /// The database does not answer, or refuses the name.
    pub async fn add_token(&self, new: &NewToken, who: &str, reason: &str) -> Result<bool, ConsoleError> {
        let query = sqlx::query_as(TOKEN_INSERT)
            .bind(new.hash.as_bytes().as_slice())
            .bind(&new.name)
            .bind(new.role)
            .bind(new.definitions.as_deref())
            .bind(new.expires_at.map(moment))
            .bind(who)
            .bind(reason);
        let (made,): (i64,) = query.fetch_one(&self.pool).await.map_err(failed("keep a token"))?;
        Ok(made == 1)
    }

    /// Revokes a token, audited. `None` when there is none of this name; false when it was revoked before.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn revoke_token(&self, name: &str, who: &str, reason: &str) -> Result<Option<bool>, ConsoleError> {
        let query = sqlx::query_as(TOKEN_UPDATE_REVOKED).bind(name).bind(who).bind(reason);
        let (known, revoked): (i64, i64) = query.fetch_one(&self.pool).await.map_err(failed("revoke a token"))?;
        Ok((known == 1).then_some(revoked == 1))
    }

    /// All tokens, by name.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, ConsoleError> {
        let query = sqlx::query_as(TOKEN_SELECT_LIST);
        let found: Vec<TokenColumns> = query.fetch_all(&self.pool).await.map_err(failed("list tokens"))?;
        Ok(found.into_iter().map(token).collect())
    }

    /// The token with this hash, good or not.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn token(&self, hash: Sha256) -> Result<Option<TokenRow>, ConsoleError> {
        let query = sqlx::query_as(TOKEN_SELECT).bind(hash.as_bytes().as_slice());
        let found: Option<TokenColumns> = query.fetch_optional(&self.pool).await.map_err(failed("look up a token"))?;
        Ok(found.map(token))
    }

    /// Whether a token was ever made.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn has_tokens(&self) -> Result<bool, ConsoleError> {
        let found = sqlx::query_as(TOKEN_SELECT_ANY).fetch_one(&self.pool).await;
        let (has_tokens,): (bool,) = found.map_err(failed("look for tokens"))?;
        Ok(has_tokens)
    }
}
