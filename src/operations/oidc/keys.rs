//! The issuer's keys: found by its discovery document, kept, and asked for again when a token names one that is not among them.
//!
//! An issuer is asked at most once in some seconds, whatever is shown to us. While it does not answer, the keys that it published
//! last are good for an hour: a short outage of the issuer is none of ours.

use std::sync::Mutex;
use std::time::Duration;

use hyper::Uri;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::fetch::{Fetcher, place};

/// The issuer is asked at most this often.
const PACE: Duration = Duration::from_secs(5);
/// Keys that are older are asked for again, in passing.
const FRESH: Duration = Duration::from_secs(600);
/// Keys that are older are not used any more.
const STALE: Duration = Duration::from_secs(3_600);
/// So many keys are looked at.
const KEYS_MAX: usize = 100;

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The issuer has none that fits.
    NotPublished,
    /// The issuer could not be asked: for people.
    Unreachable(String),
}

/// What the issuer says of itself (OpenID Connect Discovery 1.0).
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// The keys that it publishes (RFC 7517), each as it is: one that nobody here understands is none of ours.
#[derive(Debug, Deserialize)]
struct Published {
    keys: Vec<Value>,
}

/// The issuer's keys.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: String,
    discovery: Uri,
    fetcher: Fetcher,
    kept: Mutex<Kept>,
    /// Who asks the issuer; the others wait, or use what there is.
    turn: tokio::sync::Mutex<()>,
}

/// What is known of them.
#[derive(Debug, Default)]
struct Kept {
    keys: Vec<Jwk>,
    /// When the issuer published them.
    read_at: Option<Instant>,
    /// When it was asked last.
    asked_at: Option<Instant>,
    /// What it failed with since, if it did.
    in_vain: Option<String>,
}

impl Keys {
    /// Of the issuer with this URL.
    ///
    /// # Errors
    /// It is not https and not on this machine, or TLS trusts nobody here: for people.
    pub(super) fn new(issuer: &str) -> Result<Self, String> {
        if issuer.contains(['?', '#']) {
            return Err(format!("{issuer:?} has a query or a fragment"));
        }
        let discovery = place(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')))?;
        let (fetcher, kept) = (Fetcher::new()?, Mutex::new(Kept::default()));
        Ok(Self { issuer: issuer.to_owned(), discovery, fetcher, kept, turn: tokio::sync::Mutex::new(()) })
    }

    /// The key by which a token with this header is checked.
    ///
    /// # Errors
    /// There is none, or the issuer cannot be asked.
    pub(super) async fn find(&self, algorithm: KeyAlgorithm, id: Option<&str>) -> Result<DecodingKey, NoKey> {
        let known = self.look(|kept| kept.find(algorithm, id, Instant::now()));
        let turn = match known {
            Some((key, age)) if age < FRESH => return Ok(key),
            Some((key, _)) => match self.turn.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(key),
            },
            None => self.turn.lock().await,
        };
        // Told before it is asked: who gives up waiting has asked all the same.
        if self.look(|kept| kept.may_ask(Instant::now())) {
            let published = self.fetch().await;
            if let Err(error) = &published {
                tracing::warn!(issuer = self.issuer, error, "the issuer's keys are not to be had");
            }
            self.look(|kept| kept.take_in(published, Instant::now()));
        }
        drop(turn);
        self.look(|kept| match kept.find(algorithm, id, Instant::now()) {
            Some((key, _)) => Ok(key),
            None => Err(kept.in_vain.clone().map_or(NoKey::NotPublished, NoKey::Unreachable)),
        })
    }

    fn look<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.kept.lock().expect("nothing panics while it holds the keys"))
    }

    async fn fetch(&self) -> Result<Vec<Jwk>, String> {
        let discovery: Discovery = self.fetcher.get(&self.discovery).await?;
        if discovery.issuer != self.issuer {
            return Err(format!("it calls itself {:?}", discovery.issuer));
        }
        let published: Published = self.fetcher.get(&place(&discovery.jwks_uri)?).await?;
        let readable = published.keys.into_iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key).ok());
        Ok(readable.collect())
    }
}

impl Kept {
    /// A key that fits, and how long ago it was published; `None` when that is too long ago.
    fn find(&self, algorithm: KeyAlgorithm, id: Option<&str>, now: Instant) -> Option<(DecodingKey, Duration)> {
        let age = now.saturating_duration_since(self.read_at?);
        let mut fitting = self.keys.iter().filter(|key| is_for(key, algorithm, id));
        let key = fitting.next().filter(|_| age < STALE)?;
        // A token that names no key is clear only where there is one.
        if id.is_none() && fitting.next().is_some() {
            return None;
        }
        Some((DecodingKey::from_jwk(key).ok()?, age))
    }

    /// Whether the issuer may be asked now; then it counts as asked.
    fn may_ask(&mut self, now: Instant) -> bool {
        let may = self.asked_at.is_none_or(|at| now.saturating_duration_since(at) >= PACE);
        if may {
            self.asked_at = Some(now);
            self.in_vain = Some("no answer yet".to_owned());
        }
        may
    }

    fn take_in(&mut self, published: Result<Vec<Jwk>, String>, now: Instant) {
        match published {
            Ok(keys) => *self = Self { keys, read_at: Some(now), asked_at: self.asked_at, in_vain: None },
            Err(why) => self.in_vain = Some(why),
        }
    }
}

/// Whether a key is one for signatures of this kind, and is called so.
fn is_for(key: &Jwk, algorithm: KeyAlgorithm, id: Option<&str>) -> bool {
    let common = &key.common;
    let fits = match &key.algorithm {
        AlgorithmParameters::RSA(_) => matches!(algorithm, KeyAlgorithm::RS256 | KeyAlgorithm::PS256),
        AlgorithmParameters::EllipticCurve(key) => algorithm == KeyAlgorithm::ES256 && key.curve == EllipticCurve::P256,
        AlgorithmParameters::OctetKeyPair(key) => {
            algorithm == KeyAlgorithm::EdDSA && key.curve == EllipticCurve::Ed25519
        }
        AlgorithmParameters::OctetKey(_) => false,
    };
    fits && id.is_none_or(|id| common.key_id.as_deref() == Some(id))
        && common.key_algorithm.is_none_or(|said| said == algorithm)
        && common.public_key_use.as_ref().is_none_or(|said| *said == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|said| said.contains(&KeyOperations::Verify))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(others: Value) -> Jwk {
        let mut key = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "one"});
        for (name, value) in others.as_object().unwrap() {
            key[name] = value.clone();
        }
        serde_json::from_value(key).unwrap()
    }

    #[test]
    fn a_key_is_for_what_it_says_that_it_is_for() {
        let fits = |others: Value| is_for(&key(others), KeyAlgorithm::RS256, Some("one"));
        assert!(fits(json!({})) && fits(json!({"use": "sig", "alg": "RS256", "key_ops": ["verify"]})));
        assert!(!fits(json!({"use": "enc"})) && !fits(json!({"alg": "PS256"})) && !fits(json!({"kid": "two"})));
        assert!(!fits(json!({"key_ops": ["encrypt"]})) && !fits(json!({"alg": "RSA-OAEP"})));
        assert!(
            is_for(&key(json!({})), KeyAlgorithm::PS256, None) && !is_for(&key(json!({})), KeyAlgorithm::ES256, None)
        );
        let curve = |crv: &str| -> Jwk {
            serde_json::from_value(json!({"kty": "EC", "crv": crv, "x": "AQAB", "y": "AQAB"})).unwrap()
        };
        assert!(
            is_for(&curve("P-256"), KeyAlgorithm::ES256, None) && !is_for(&curve("P-384"), KeyAlgorithm::ES256, None)
        );
        let secret: Jwk = serde_json::from_value(json!({"kty": "oct", "k": "c2VjcmV0"})).unwrap();
        assert!([KeyAlgorithm::RS256, KeyAlgorithm::EdDSA].iter().all(|algorithm| !is_for(&secret, *algorithm, None)));
    }

    #[test]
    fn a_token_that_names_no_key_is_checked_where_there_is_only_one() {
        let now = Instant::now();
        let mut kept = Kept::default();
        kept.take_in(Ok(vec![key(json!({})), key(json!({"use": "enc"}))]), now);
        assert!(kept.find(KeyAlgorithm::RS256, None, now).is_some());
        kept.take_in(Ok(vec![key(json!({})), key(json!({"kid": "two"}))]), now);
        assert!(kept.find(KeyAlgorithm::RS256, None, now).is_none());
        assert!(kept.find(KeyAlgorithm::RS256, Some("two"), now).is_some());
    }

    #[test]
    fn an_issuer_is_asked_once_in_a_while_and_its_keys_outlive_a_short_silence() {
        let begin = Instant::now();
        let mut kept = Kept::default();
        assert!(kept.may_ask(begin) && !kept.may_ask(begin + PACE / 2));
        kept.take_in(Ok(vec![key(json!({}))]), begin);
        assert_eq!(kept.in_vain, None);
        assert!(!kept.may_ask(begin + PACE / 2) && kept.may_ask(begin + PACE));
        kept.take_in(Err("down".to_owned()), begin + PACE);
        let age = |at: Duration| kept.find(KeyAlgorithm::RS256, Some("one"), begin + at).map(|(_, age)| age);
        assert_eq!(age(FRESH), Some(FRESH));
        assert_eq!(age(STALE), None);
        assert_eq!(kept.in_vain.as_deref(), Some("down"));
    }
}
