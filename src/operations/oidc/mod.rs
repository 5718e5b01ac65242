//! People who log in elsewhere: a bearer that is a JWT of the configured OpenID Connect issuer (OpenID Connect Core 1.0, RFC 7519).
//!
//! ```text
//! header ──▶ a known algorithm ──▶ the issuer's key ──▶ signature ──▶ iss, aud, exp, nbf ──▶ who, role, definitions
//!            (never none or HS*)   (keys.rs)            (signature.rs)  (claims.rs)
//! ```
//! Until the signature holds nothing in the token is believed, and nobody is named. No token is logged.

mod claims;
mod fetch;
mod keys;
mod signature;

pub use fetch::chain as error_chain;
pub use fetch::place as secure_place;

use jsonwebtoken::jwk::KeyAlgorithm;
use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};

use super::access::{Caller, Role, Stranger, TOKEN_PREFIX};
use super::failure::{Exit, Failure};
use claims::Claims;
use keys::{Keys, NoKey};

/// A token of more bytes is not looked at.
const TOKEN_BYTES_MAX: usize = 16_384;
/// How tokens may be signed, by what only the issuer has; and what its keys for that are called.
const ALGORITHMS: [(Algorithm, KeyAlgorithm); 4] = [
    (Algorithm::RS256, KeyAlgorithm::RS256),
    (Algorithm::PS256, KeyAlgorithm::PS256),
    (Algorithm::ES256, KeyAlgorithm::ES256),
    (Algorithm::EdDSA, KeyAlgorithm::EdDSA),
];

/// What is told of the issuer, and of what its tokens say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcOptions {
    /// Its URL, as in its tokens' `iss`: https, or http on this machine.
    pub issuer: String,
    /// Whom its tokens are for: their `aud` names it.
    pub audience: String,
    /// The claim by which the audit names a person. What else but `sub` may change hands.
    pub name_claim: String,
    /// The claim that says what a person may: a list, or words in a text. A dot goes a level deeper.
    pub role_claim: String,
    /// What that claim calls a role. Empty: roles by their own names.
    pub roles: Vec<(String, Role)>,
    /// The claim that lists the definitions that a person may see, `*` for all. `None`: all.
    pub definitions_claim: Option<String>,
}

/// The issuer whose tokens let people in.
#[derive(Debug)]
pub struct Issuer {
    options: OidcOptions,
    keys: Keys,
}

impl Issuer {
    /// Asks nobody yet: the issuer is asked when somebody shows a token.
    ///
    /// # Errors
    /// Its URL may not be, or there is nothing on this machine by which TLS could trust it (exit 2).
    pub fn new(options: OidcOptions) -> Result<Self, Failure> {
        let usage = |why: String| {
            let hint = "an issuer is https://..., or http://... on this machine, as its tokens name it in iss";
            Failure::new(Exit::Usage, format!("--oidc-issuer: {why}"), hint)
        };
        if options.audience.is_empty() {
            let hint = "without it tokens for other services would let people in here";
            return Err(Failure::new(Exit::Usage, "--oidc-audience is empty", hint));
        }
        signature::install();
        let keys = Keys::new(&options.issuer).map_err(usage)?;
        Ok(Self { options, keys })
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// Its key is not known here, and the issuer does not answer (exit 6).
    pub(super) async fn identify(&self, token: &str) -> Result<Result<Caller, Stranger>, Failure> {
        let (header, algorithm) = match readable(token) {
            Ok(read) => read,
            Err(why) => return Ok(Err(Stranger::Unknown(why))),
        };
        let key = match self.keys.find(algorithm, header.kid.as_deref()).await {
            Ok(key) => key,
            Err(NoKey::NotPublished) => {
                let why = "this token is signed with a key that its issuer does not publish";
                return Ok(Err(Stranger::Unknown(why.to_owned())));
            }
            Err(NoKey::Unreachable(why)) => {
                let message = format!("the issuer {} does not answer: {why}", self.options.issuer);
                return Err(Failure::new(
                    Exit::Unreachable,
                    message,
                    "a token of sagabus tokens create needs no issuer",
                ));
            }
        };
        // The claims are judged below, where the moment is an argument.
        let mut signature_alone = Validation::new(header.alg);
        signature_alone.required_spec_claims.clear();
        signature_alone.validate_exp = false;
        signature_alone.validate_aud = false;
        Ok(match decode::<Claims>(token, &key, &signature_alone) {
            Ok(signed) => claims::caller(&signed.claims, &self.options, crate::engine::wall_clock()),
            Err(_) => Err(Stranger::Unknown("the signature of this token is wrong".to_owned())),
        })
    }
}

/// Whether a bearer has the form of a JWT, and is none of our own tokens.
pub(super) fn is_jwt(bearer: &str) -> bool {
    !bearer.starts_with(TOKEN_PREFIX) && bearer.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// The header of a token that can be checked here, and the kind of key that does.
fn readable(token: &str) -> Result<(Header, KeyAlgorithm), String> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(format!("this token has more than {TOKEN_BYTES_MAX} bytes"));
    }
    // `none` is no algorithm to whoever reads the header.
    let header = decode_header(token).map_err(|_| "this token cannot be read".to_owned())?;
    let known = ALGORITHMS.iter().find(|(algorithm, _)| *algorithm == header.alg);
    let (_, key) = known.ok_or_else(|| format!("a token that is signed with {:?} is not accepted", header.alg))?;
    if header.crit.is_some() {
        return Err("this token needs extensions that are not known here".to_owned());
    }
    Ok((header, *key))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    fn token(header: &str) -> String {
        format!("{}.e30.c2ln", BASE64_URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn a_token_is_a_jwt_or_one_of_our_own() {
        assert!(is_jwt("a.b.c") && !is_jwt("a.b") && !is_jwt("sagabus_a.b.c") && !is_jwt(""));
    }

    #[test]
    fn only_what_the_issuer_alone_can_sign_is_read() {
        for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
            assert!(readable(&token(&format!(r#"{{"alg":"{algorithm}","kid":"k"}}"#))).is_ok(), "{algorithm}");
        }
        for algorithm in ["none", "None", "HS256", "HS512", "RS512", "ES384", ""] {
            assert!(readable(&token(&format!(r#"{{"alg":"{algorithm}","kid":"k"}}"#))).is_err(), "{algorithm}");
        }
        assert!(readable(&token("{}")).is_err() && readable("a.b.c").is_err());
        assert!(readable(&token(r#"{"alg":"RS256","crit":["b64"]}"#)).unwrap_err().contains("extensions"));
        assert!(readable(&format!("{}x", token(r#"{"alg":"RS256"}"#).repeat(1_000))).unwrap_err().contains("bytes"));
    }
}
