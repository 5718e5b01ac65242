//! The rule of two: above how many sagas a plan is applied by somebody else than who planned it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::Console;

use super::act::checked_reason;
use super::failure::Failure;

/// The greatest number that Postgres keeps.
const SAGAS_MAX: u32 = i32::MAX.unsigned_abs();

/// The rule, as programs read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalJson {
    /// Plans of more eligible sagas than this need a second person.
    pub minimum_sagas: u32,
}

/// Another rule that is asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRequest {
    /// Plans of more eligible sagas than this need a second person.
    #[schema(maximum = 2_147_483_647)]
    pub minimum_sagas: u32,
    /// Why; stored.
    #[schema(min_length = 1)]
    pub reason: String,
}

impl ApprovalRequest {
    /// Whether it can be.
    ///
    /// # Errors
    /// It cannot (exit 2).
    pub fn check(&self) -> Result<(), Failure> {
        if self.minimum_sagas > SAGAS_MAX {
            return Err(Failure::usage(format!("minimumSagas is at most {SAGAS_MAX}")));
        }
        checked_reason(&self.reason).map(|_| ())
    }
}

/// The rule that holds.
///
/// # Errors
/// The database does not answer.
pub async fn approval(console: &Console) -> Result<ApprovalJson, Failure> {
    Ok(ApprovalJson { minimum_sagas: console.approval().await? })
}

/// Changes the rule, audited. Returns the one that holds from now on.
///
/// # Errors
/// The request cannot be (exit 2), or the database does not answer.
pub async fn set_approval(console: &Console, request: &ApprovalRequest, who: &str) -> Result<ApprovalJson, Failure> {
    request.check()?;
    let minimum_sagas = request.minimum_sagas;
    console.set_approval(minimum_sagas, who, checked_reason(&request.reason)?).await?;
    Ok(ApprovalJson { minimum_sagas })
}
