//! An OpenID Connect issuer in this process: its documents on a port of this machine, and tokens signed by keys of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaPublicKeyComponents,
};
use sagabus::operations::{Issuer, OidcOptions};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Only for tests: whoever wants one can have this key.
const RSA_KEY: &[u8] = include_bytes!("../../fixtures/oidc/rsa_2048.pk8");

/// How a token is signed: the name of the algorithm.
pub(crate) const ALGORITHMS: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];

#[derive(Default)]
struct Shown {
    issuer: Mutex<String>,
    keys: Mutex<Vec<Value>>,
    asked: AtomicUsize,
}

/// The issuer.
pub(crate) struct TestIssuer {
    pub(crate) url: String,
    address: SocketAddr,
    shown: Arc<Shown>,
    serving: Mutex<Option<JoinHandle<()>>>,
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
}

impl TestIssuer {
    /// Answers, and publishes a key for each algorithm: `rsa`, `ec`, `ed`.
    pub(crate) async fn start() -> Self {
        let random = SystemRandom::new();
        let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let issuer = Self {
            url: format!("http://{address}/realm"),
            address,
            shown: Arc::default(),
            serving: Mutex::default(),
            rsa: RsaKeyPair::from_pkcs8(RSA_KEY).unwrap(),
            ec: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
        };
        issuer.shown.issuer.lock().unwrap().clone_from(&issuer.url);
        issuer.publish(["rsa", "ec", "ed"]);
        issuer.serve(listener);
        issuer
    }

    fn serve(&self, listener: TcpListener) {
        let address = self.address;
        let discovery = move |State(shown): State<Arc<Shown>>| async move {
            let issuer = shown.issuer.lock().unwrap().clone();
            json!({ "issuer": issuer, "jwks_uri": format!("http://{address}/keys"), "scopes_supported": ["openid"] })
                .to_string()
        };
        let keys = |State(shown): State<Arc<Shown>>| async move {
            shown.asked.fetch_add(1, Ordering::Relaxed);
            json!({ "keys": *shown.keys.lock().unwrap() }).to_string()
        };
        let app = Router::new()
            .route("/realm/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(keys))
            .with_state(Arc::clone(&self.shown));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        *self.serving.lock().unwrap() = Some(task);
    }

    /// Does not answer any more.
    pub(crate) async fn stop(&self) {
        let task = self.serving.lock().unwrap().take().unwrap();
        task.abort();
        task.await.unwrap_err();
    }

    /// Answers again.
    pub(crate) async fn resume(&self) {
        self.serve(TcpListener::bind(self.address).await.unwrap());
    }

    /// Its documents call it so from now on.
    pub(crate) fn call_itself(&self, name: &str) {
        name.clone_into(&mut self.shown.issuer.lock().unwrap());
    }

    /// Publishes its keys under these names: of RSA, of P-256, of Ed25519. Others beside them are nobody's here.
    pub(crate) fn publish(&self, [rsa, ec, ed]: [&str; 3]) {
        let components: RsaPublicKeyComponents<Vec<u8>> = self.rsa.public().into();
        let (n, e) = (encoded(&components.n), encoded(&components.e));
        let point = self.ec.public_key().as_ref();
        let (x, y) = (encoded(&point[1..33]), encoded(&point[33..65]));
        *self.shown.keys.lock().unwrap() = vec![
            json!({"kty": "AKP", "kid": "of tomorrow", "alg": "ML-DSA-44", "pub": "AQAB"}),
            json!({"kty": "RSA", "kid": rsa, "use": "sig", "n": n, "e": e}),
            json!({"kty": "EC", "kid": ec, "crv": "P-256", "alg": "ES256", "x": x, "y": y}),
            json!({"kty": "OKP", "kid": ed, "crv": "Ed25519", "x": encoded(self.ed.public_key().as_ref())}),
        ];
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        self.shown.asked.load(Ordering::Relaxed)
    }

    /// What is told of it with nothing special, for the audience `sagabus`.
    pub(crate) fn options(&self) -> OidcOptions {
        OidcOptions {
            issuer: self.url.clone(),
            audience: "sagabus".to_owned(),
            name_claim: "sub".to_owned(),
            role_claim: "roles".to_owned(),
            roles: Vec::new(),
            definitions_claim: None,
        }
    }

    /// As `serve` knows it.
    pub(crate) fn known(&self) -> Arc<Issuer> {
        Arc::new(Issuer::new(self.options()).unwrap())
    }

    /// Claims of somebody, good for five minutes.
    pub(crate) fn claims(&self, who: &str, roles: &Value) -> Value {
        let now = sagabus::engine::wall_clock().micros() / 1_000_000;
        json!({"iss": self.url, "aud": ["other", "sagabus"], "sub": who, "roles": roles, "iat": now, "nbf": now, "exp": now + 300})
    }

    /// A token of these claims, signed by the key of the algorithm.
    pub(crate) fn token(&self, algorithm: &str, claims: &Value) -> String {
        let key = match algorithm {
            "RS256" | "PS256" => "rsa",
            "ES256" => "ec",
            _ => "ed",
        };
        self.signed(&json!({"alg": algorithm, "kid": key, "typ": "JWT"}), algorithm, claims)
    }

    /// A token with this header, signed by the algorithm whatever the header says.
    pub(crate) fn signed(&self, header: &Value, algorithm: &str, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let (random, bytes) = (SystemRandom::new(), message.as_bytes());
        let by_rsa = |padding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &random, bytes, &mut signature).unwrap();
            signature
        };
        let signature = match algorithm {
            "RS256" => by_rsa(&RSA_PKCS1_SHA256),
            "PS256" => by_rsa(&RSA_PSS_SHA256),
            "ES256" => self.ec.sign(&random, bytes).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed.sign(bytes).as_ref().to_vec(),
            // The trick of old: the public key, as everybody can have it, for a secret.
            "HS256" => {
                let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, self.rsa.public().as_ref());
                ring::hmac::sign(&secret, bytes).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{message}.{}", encoded(&signature))
    }
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
