//! A small document of another machine, as JSON: within seconds, over TLS, from the place that was asked and no other.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Uri;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

/// An answer has to be whole after this.
const PATIENCE: Duration = Duration::from_secs(3);
/// The greatest document, in bytes.
const BYTES_MAX: usize = 262_144;

/// Where another machine answers, so that nobody listens: https, or http on this machine.
///
/// # Errors
/// It is no such URL: for people.
pub fn place(url: &str) -> Result<Uri, String> {
    let uri = url.parse::<Uri>().map_err(|error| format!("{url:?} is no URL: {error}"))?;
    let host = uri.host().unwrap_or_default();
    let is_here = host.eq_ignore_ascii_case("localhost")
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("it names a user, and a password would be no secret here".to_owned());
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_here => Ok(uri),
        Some(_) | None => Err(format!("{url:?} is neither https nor on this machine")),
    }
}

/// What asks.
#[derive(Clone, Debug)]
pub(super) struct Fetcher(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Fetcher {
    /// Trusts the authorities that this machine trusts.
    ///
    /// # Errors
    /// It trusts none.
    pub(super) fn new() -> Result<Self, String> {
        let trusting = HttpsConnectorBuilder::new().with_native_roots();
        let trusting = trusting.map_err(|error| format!("no certificates of authorities on this machine: {error}"))?;
        let connector = trusting.https_or_http().enable_http1().build();
        // Asked so rarely that a connection that was kept would be a broken one.
        Ok(Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)))
    }

    /// The document there. Another place that the answer points to is not gone to.
    ///
    /// # Errors
    /// There is no answer in time, or another one: for people.
    #[expect(clippy::disallowed_methods, reason = "it holds no connection to Postgres")]
    pub(super) async fn get<T: DeserializeOwned>(&self, uri: &Uri) -> Result<T, String> {
        let answered = tokio::time::timeout(PATIENCE, self.bytes(uri)).await;
        let bytes = answered.map_err(|_| format!("{uri}: no answer within {} s", PATIENCE.as_secs()))?;
        serde_json::from_slice(&bytes?).map_err(|error| format!("{uri}: {error}"))
    }

    async fn bytes(&self, uri: &Uri) -> Result<Bytes, String> {
        let answer = self.0.get(uri.clone()).await.map_err(|error| format!("{uri}: {}", chain(&error)))?;
        if !answer.status().is_success() {
            return Err(format!("{uri}: it answers {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| format!("{uri}: {error}"))
    }
}

/// An error with what lies behind it: the client's own words say little.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        text = format!("{text}: {cause}");
        behind = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_https_or_on_this_machine() {
        for good in
            ["https://login.example", "https://login.example/realms/x", "http://127.0.0.1:8080", "http://[::1]:1"]
        {
            assert!(place(good).is_ok(), "{good}");
        }
        assert!(place("http://localhost:8080/x").is_ok() && place("https://login.example/keys?p=policy").is_ok());
        for bad in [
            "http://login.example",
            "http://127.0.0.1.evil.example",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "https://user:secret@login.example",
            "login.example",
            "",
        ] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
