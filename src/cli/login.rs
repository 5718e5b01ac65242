//! What `serve` is told of people who log in elsewhere.

use std::sync::Arc;

use clap::Args;

use crate::operations::{Failure, Issuer, OidcOptions, Role};

/// People who log in elsewhere.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Logins")]
pub(super) struct LoginArguments {
    /// Let in who shows a token (JWT) of this OpenID Connect issuer: its URL as in `iss`, https unless it is on this machine.
    #[arg(long, env = "SAGABUS_OIDC_ISSUER", value_name = "URL", requires_all = ["oidc_audience", "listen"])]
    oidc_issuer: Option<String>,
    /// Whom its tokens are for: their `aud` names it.
    #[arg(long, env = "SAGABUS_OIDC_AUDIENCE", value_name = "NAME", requires = "oidc_issuer")]
    oidc_audience: Option<String>,
    /// The claim that says what a person may: a list, or words; a dot goes a level deeper, as in realm_access.roles.
    #[arg(long, env = "SAGABUS_OIDC_ROLE_CLAIM", default_value = "roles", value_name = "CLAIM")]
    oidc_role_claim: String,
    /// What that claim calls a role, such as oncall=operator, comma separated. Default: viewer, operator, approver, admin.
    #[arg(long, env = "SAGABUS_OIDC_ROLES", value_delimiter = ',', value_parser = mapped, value_name = "SAID=ROLE")]
    oidc_roles: Vec<(String, Role)>,
    /// The claim that lists the definitions that a person may see, * for all. Default: all.
    #[arg(long, env = "SAGABUS_OIDC_DEFINITIONS_CLAIM", value_name = "CLAIM")]
    oidc_definitions_claim: Option<String>,
    /// The claim by which the audit names a person. What else but sub may change hands.
    #[arg(long, env = "SAGABUS_OIDC_NAME_CLAIM", default_value = "sub", value_name = "CLAIM")]
    oidc_name_claim: String,
}

impl LoginArguments {
    /// The issuer, if one is named.
    ///
    /// # Errors
    /// It may not be one (exit 2).
    pub(super) fn issuer(self) -> Result<Option<Arc<Issuer>>, Failure> {
        let (Some(issuer), Some(audience)) = (self.oidc_issuer, self.oidc_audience) else { return Ok(None) };
        let options = OidcOptions {
            issuer,
            audience,
            name_claim: self.oidc_name_claim,
            role_claim: self.oidc_role_claim,
            roles: self.oidc_roles,
            definitions_claim: self.oidc_definitions_claim,
        };
        Ok(Some(Arc::new(Issuer::new(options)?)))
    }
}

fn mapped(text: &str) -> Result<(String, Role), String> {
    let (said, role) = text.rsplit_once('=').ok_or("say SAID=ROLE")?;
    Ok((said.to_owned(), Role::parse(role)?))
}
