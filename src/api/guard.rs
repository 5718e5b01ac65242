//! Who is let in: a token, ours or the issuer's, on every request below `/v1`, the role of its route, and nothing that a foreign web
//! page makes a browser ask.

use std::net::SocketAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::operations::{self, Caller, Desk, Role, Stranger};

use super::problem::Problem;

/// What every request is answered from.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) desk: Desk,
    /// Nobody but this machine reaches the listener: as long as nobody could show a token, whoever is here may everything.
    pub(super) is_local: bool,
}

impl Door {
    /// For a listener on this address.
    pub(super) fn new(desk: Desk, address: SocketAddr) -> Self {
        Self { desk, is_local: address.ip().is_loopback() }
    }
}

/// What the routes of one role need.
#[derive(Clone, Debug)]
pub(super) struct Needs {
    pub(super) door: Door,
    pub(super) role: Role,
    /// A token for all definitions.
    pub(super) whole: bool,
}

/// Lets a request through to its route, with the caller; what is not let through is told to the audit where it is known who asked.
pub(super) async fn guard(State(needs): State<Needs>, mut request: Request, next: Next) -> Response {
    match admit(&needs, request.method(), request.uri().path(), request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admit(needs: &Needs, method: &Method, path: &str, headers: &HeaderMap) -> Result<Caller, Problem> {
    let Door { desk, is_local } = &needs.door;
    let bearer = bearer(headers);
    let caller = match operations::identify(desk, bearer, *is_local).await? {
        Ok(caller) => caller,
        Err(Stranger::Unknown(why)) => {
            // Not told to the audit, which anybody could fill so.
            tracing::warn!(%method, path, why, "request without a caller");
            return Err(Problem::unauthenticated(why));
        }
        Err(Stranger::Known { who, why }) => {
            operations::denied(&desk.asking, &who, method.as_str(), path, "", &why).await?;
            return Err(Problem::unauthenticated(why));
        }
        Err(Stranger::Unwelcome { who, why }) => {
            operations::denied(&desk.asking, &who, method.as_str(), path, "", &why).await?;
            return Err(Problem::forbidden(why));
        }
    };
    let checked = is_own_page(method, headers)
        // A name that leads a browser here and is not this machine's is a foreign page's (DNS rebinding).
        .and_then(|()| if bearer.is_none() { is_own_host(headers) } else { Ok(()) })
        .and_then(|()| caller.check(needs.role))
        .and_then(|()| if needs.whole { caller.check_whole() } else { Ok(()) });
    let Err(why) = checked else { return Ok(caller) };
    operations::denied(&desk.asking, &caller.who, method.as_str(), path, "", &why).await?;
    Err(Problem::forbidden(why))
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What changes something comes from a page of the same origin, or from no page at all.
fn is_own_page(method: &Method, headers: &HeaderMap) -> Result<(), String> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text("sec-fetch-site"), text("origin")) {
        (Some("same-origin" | "none"), _) | (None, None) => Ok(()),
        (Some(site), _) => Err(format!("a browser asks for a page of another site ({site})")),
        (None, Some(origin)) => {
            let own = text("host").unwrap_or_default();
            let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            if of == Some(own) { Ok(()) } else { Err(format!("a browser asks for a page of {origin}")) }
        }
    }
}

/// Without a token the host has to be named as this machine.
fn is_own_host(headers: &HeaderMap) -> Result<(), String> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    if name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()) {
        return Ok(());
    }
    Err(format!("without a token this machine is called localhost, not {host}"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(said: &[(&'static str, &'static str)]) -> HeaderMap {
        said.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_a_foreign_page_asks_for_changes_nothing() {
        let is_let = |said: &[(&'static str, &'static str)]| is_own_page(&Method::POST, &headers(said)).is_ok();
        assert!(is_let(&[]), "no browser");
        assert!(is_let(&[("sec-fetch-site", "same-origin"), ("origin", "http://x")]));
        assert!(is_let(&[("sec-fetch-site", "none")]));
        assert!(!is_let(&[("sec-fetch-site", "cross-site")]) && !is_let(&[("sec-fetch-site", "same-site")]));
        assert!(is_let(&[("origin", "http://a:1"), ("host", "a:1")]));
        assert!(!is_let(&[("origin", "http://a:2"), ("host", "a:1")]) && !is_let(&[("origin", "null"), ("host", "a")]));
        assert!(is_own_page(&Method::GET, &headers(&[("sec-fetch-site", "cross-site")])).is_ok(), "it only looks");
    }

    #[test]
    fn a_foreign_name_for_this_machine_is_not_its_own() {
        for own in ["localhost", "localhost:80", "127.0.0.1:8080", "[::1]:8080", "[::1]"] {
            assert!(is_own_host(&headers(&[("host", own)])).is_ok(), "{own}");
        }
        for foreign in ["evil.example", "evil.example:8080", "10.0.0.1", ""] {
            assert!(is_own_host(&headers(&[("host", foreign)])).is_err(), "{foreign}");
        }
    }

    #[test]
    fn a_token_is_shown_as_a_bearer() {
        assert_eq!(bearer(&headers(&[("authorization", "Bearer t")])), Some("t"));
        assert_eq!(bearer(&headers(&[("authorization", "bearer  t ")])), Some("t"));
        assert_eq!(bearer(&headers(&[("authorization", "Basic t")])), None);
        assert_eq!(bearer(&headers(&[])), None);
    }
}
