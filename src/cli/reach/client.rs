//! One request to a server and its answer: what was asked for, or why not, with the exit code that the same verb has at the database.

use std::fmt::{self, Display};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::core::Timestamp;
use crate::operations::{self, Exit, Failure, NOW_HEADER, Page};

/// An answer has to be whole after this. A server waits 10 s for an engine to decide.
const PATIENCE: Duration = Duration::from_secs(30);
/// The greatest answer, in bytes: the journal of one saga, or a page of a list.
const BYTES_MAX: usize = 256 * 1_048_576;
/// Items of a page: as many as a server gives.
const PAGE: usize = 1_000;

/// What stands for something else than itself in a URL (RFC 3986, section 2.3, says what never does).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A server, and the token that is shown to it.
pub(in crate::cli) struct Server {
    base: String,
    token: Option<HeaderValue>,
    wire: Wire,
}

/// A machine without any certificates can still ask itself.
enum Wire {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Secure(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// Where something is: a path below the server's address, with its query.
pub(super) struct Route(String);

/// An answer.
pub(in crate::cli) struct Told<T> {
    pub(super) what: T,
    /// When a saga was read, by the database's clock.
    pub(super) now: Timestamp,
    /// The state that was read, for `If-Match`.
    pub(super) tag: String,
}

/// Why there is none.
#[derive(Debug)]
pub(super) struct Denial {
    pub(super) failure: Failure,
    /// The kind of problem in one word; empty where it was no answer of Sagabus.
    pub(super) code: String,
    /// Where the saga stands, if it is about one.
    pub(super) phase: Option<String>,
    /// The verbs that would be carried out.
    pub(super) can: Box<[String]>,
}

/// A problem as it stands in an answer; newer members are not for us.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    detail: String,
    code: String,
    #[serde(default)]
    hint: String,
    phase: Option<String>,
    #[serde(default)]
    can: Box<[String]>,
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        denial.failure
    }
}

impl From<Failure> for Denial {
    fn from(failure: Failure) -> Self {
        Self { failure, code: String::new(), phase: None, can: Box::default() }
    }
}

impl fmt::Debug for Server {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Route {
    /// A path of these words.
    pub(super) fn of(words: &[&str]) -> Self {
        let words: Vec<String> = words.iter().map(|word| encoded(word)).collect();
        Self(format!("/v1/{}", words.join("/")))
    }

    /// With this in its query.
    #[must_use]
    pub(super) fn with(self, name: &str, value: impl Display) -> Self {
        let joint = if self.0.contains('?') { '&' } else { '?' };
        Self(format!("{}{joint}{name}={}", self.0, encoded(&value.to_string())))
    }

    /// With this in its query, if it is said.
    #[must_use]
    pub(super) fn maybe(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

fn body(said: &impl Serialize) -> Bytes {
    Bytes::from(serde_json::to_vec(said).expect("requests are plain data"))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

impl Server {
    /// A server at this address: https, or http on this machine.
    ///
    /// # Errors
    /// It is no such address, or the token cannot be sent (exit 2).
    pub(super) fn new(url: &str, token: Option<&str>) -> Result<Self, Failure> {
        let usage = |message: String| Failure::new(Exit::Usage, message, "say --server https://HOST, or its profile");
        let uri = operations::secure_place(url).map_err(|why| usage(format!("--server: {why}")))?;
        if uri.query().is_some() {
            return Err(usage(format!("--server: {url:?} has a query")));
        }
        let token = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose();
        let mut token = token.map_err(|_| usage("the token holds what no header can".to_owned()))?;
        token.iter_mut().for_each(|token| token.set_sensitive(true));
        let client = Client::builder(TokioExecutor::new());
        let wire = if uri.scheme_str() == Some("https") {
            let trusting = HttpsConnectorBuilder::new().with_native_roots();
            let trusting = trusting.map_err(|error| usage(format!("this machine trusts no authority: {error}")))?;
            Wire::Secure(client.build(trusting.https_only().enable_http1().build()))
        } else {
            Wire::Plain(client.build(HttpConnector::new()))
        };
        Ok(Self { base: url.trim_end_matches('/').to_owned(), token, wire })
    }

    /// What is there.
    pub(super) async fn get<T: DeserializeOwned>(&self, route: Route) -> Result<Told<T>, Denial> {
        self.read(self.asked(Method::GET, &route, None, Bytes::new()).await?)
    }

    /// The text that is there.
    pub(super) async fn text(&self, route: Route) -> Result<String, Denial> {
        let (_, bytes) = self.asked(Method::GET, &route, None, Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What comes of what is said; `tag` is the state that is meant.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        route: Route,
        tag: Option<&str>,
        said: &impl Serialize,
    ) -> Result<Told<T>, Denial> {
        self.read(self.asked(Method::POST, &route, tag, body(said)).await?)
    }

    /// What is there once what is said has taken its place.
    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        route: Route,
        said: &impl Serialize,
    ) -> Result<Told<T>, Denial> {
        self.read(self.asked(Method::PUT, &route, None, body(said)).await?)
    }

    /// The first `limit` of a list that comes in pages, and whether there are more.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        route: impl Fn() -> Route,
        limit: usize,
    ) -> Result<(Vec<T>, bool), Denial> {
        let (mut found, mut token) = (Vec::new(), None::<String>);
        loop {
            let size = limit.saturating_add(1).saturating_sub(found.len()).min(PAGE);
            let route = route().with("pageSize", size).maybe("pageToken", token.as_ref());
            let page: Page<T> = self.get(route).await?.what;
            found.extend(page.items);
            token = page.next_page_token;
            if found.len() > limit || token.is_none() {
                let is_cut = found.len() > limit;
                found.truncate(limit);
                return Ok((found, is_cut));
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "it holds no connection to Postgres")]
    async fn asked(
        &self,
        method: Method,
        route: &Route,
        tag: Option<&str>,
        body: Bytes,
    ) -> Result<(HeaderMap, Bytes), Denial> {
        let whole = async {
            let answer = self.send(method, route, tag, body).await?;
            let (parts, body) = answer.into_parts();
            let read = Limited::new(body, BYTES_MAX).collect().await;
            let bytes = read.map_err(|error| self.away(&format!("its answer broke off: {error}")))?.to_bytes();
            if parts.status.is_success() {
                return Ok((parts.headers, bytes));
            }
            Err(self.denied(parts.status, &parts.headers, &bytes))
        };
        let late = || self.away(&format!("no answer within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, whole).await.unwrap_or_else(|_| Err(late().into()))
    }

    async fn send(
        &self,
        method: Method,
        route: &Route,
        tag: Option<&str>,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        // What is said may be a whole file.
        let uri = format!("{}{}", self.base, route.0).parse::<Uri>().map_err(|error| {
            let message = format!("{} cannot be asked for this: {error}", self.base);
            Failure::new(Exit::Usage, message, "say less: what is looked for is a part of the address")
        })?;
        let mut request = Request::new(Full::new(body));
        (*request.method_mut(), *request.uri_mut()) = (method.clone(), uri);
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/plain, application/problem+json"));
        if method != Method::GET {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        if let Some(tag) = tag {
            headers.insert(IF_MATCH, HeaderValue::from_str(tag).expect("a tag came in a header"));
        }
        let answer = match &self.wire {
            Wire::Plain(client) => client.request(request).await,
            Wire::Secure(client) => client.request(request).await,
        };
        answer.map_err(|error| self.away(&operations::error_chain(&error)))
    }

    fn read<T: DeserializeOwned>(&self, (headers, bytes): (HeaderMap, Bytes)) -> Result<Told<T>, Denial> {
        // What has no content, as a token that is revoked, is null.
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        let what = serde_json::from_slice(text).map_err(|error| {
            let message = format!("{} answers what this version cannot read: {error}", self.base);
            Failure::new(Exit::Failed, message, self.versions())
        })?;
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let now = said(NOW_HEADER).and_then(|now| now.parse().ok()).unwrap_or_else(crate::engine::wall_clock);
        Ok(Told { what, now, tag: said(ETAG.as_str()).unwrap_or_default().to_owned() })
    }

    /// No answer at all.
    fn away(&self, why: &str) -> Failure {
        let hint = "does it run there, and does this machine trust its certificate?";
        Failure::new(Exit::Unreachable, format!("{} cannot be asked: {why}", self.base), hint)
    }

    fn versions(&self) -> String {
        format!(
            "is it of another version? this is {}; {}/version tells the server's",
            env!("CARGO_PKG_VERSION"),
            self.base
        )
    }

    /// Why there is no answer, as the answer says it.
    fn denied(&self, status: StatusCode, headers: &HeaderMap, bytes: &[u8]) -> Denial {
        let is_problem =
            headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
        let Some(problem) = serde_json::from_slice::<Problem>(bytes).ok().filter(|_| is_problem) else {
            return self.not_sagabus(status, headers).into();
        };
        let Problem { detail, code, mut hint, phase, can } = problem;
        // Others repeat what somebody looks for.
        let knows_no_field = code == "invalid_request" && detail.contains("unknown field");
        if detail == "there is no such resource" || code == "method_not_allowed" || knows_no_field {
            let message = format!("{} cannot do this: {detail}", self.base);
            return Failure::new(Exit::Usage, message, self.versions()).into();
        }
        if code == "unauthenticated" {
            "set SAGABUS_TOKEN, or name a token in the profile".clone_into(&mut hint);
        }
        Denial { failure: Failure::new(exit_of(&code), detail, hint), code, phase, can }
    }

    /// Something answers that is not Sagabus. It is not gone to where it points to.
    fn not_sagabus(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        let to = headers.get("location").and_then(|to| to.to_str().ok()).filter(|_| status.is_redirection());
        let to = to.map_or_else(String::new, |to| format!(" and points to {to}"));
        let exit = if status.is_server_error() { Exit::Unreachable } else { Exit::Failed };
        let message = format!("{} answers {status}{to}, and not as sagabus does", self.base);
        Failure::new(exit, message, "is it the right address? is a proxy in between?")
    }
}

/// The exit code that belongs to a problem: OPERATIONS.md section 10.
fn exit_of(code: &str) -> Exit {
    match code {
        "invalid_request" | "precondition_required" => Exit::Usage,
        "not_found" => Exit::NotFound,
        "refused" | "changed" => Exit::Refused,
        "slow_down" | "unavailable" => Exit::Unreachable,
        "invalid_definition" => Exit::InvalidDefinition,
        // unauthenticated, forbidden, too_large, defect, and what a newer server says.
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_keeps_what_is_said_within_its_words() {
        let route =
            Route::of(&["failure-groups", "a/b?c"]).with("q", "x&y=1 ä").maybe("none", None::<&str>).with("n", 7);
        assert_eq!(route.0, "/v1/failure-groups/a%2Fb%3Fc?q=x%26y%3D1%20%C3%A4&n=7");
    }

    #[tokio::test]
    async fn what_no_address_can_hold_is_refused() {
        let server = Server::new("http://127.0.0.1:1", None).unwrap();
        let asked = server.text(Route::of(&["find"]).with("q", "x".repeat(70_000))).await;
        assert_eq!(asked.unwrap_err().failure.exit, Exit::Usage);
    }

    #[test]
    fn a_token_goes_nowhere_in_clear_and_is_not_shown() {
        for bad in ["http://sagabus.example.com", "sagabus", "https://u:p@sagabus.example.com", "https://x.example?a=b"]
        {
            assert_eq!(Server::new(bad, None).unwrap_err().exit, Exit::Usage, "{bad}");
        }
        let server = Server::new("http://127.0.0.1:1/", Some("secret")).unwrap();
        assert!(!format!("{server:?}").contains("secret"));
        assert_eq!(server.base, "http://127.0.0.1:1");
        assert_eq!(Server::new("http://localhost", Some("a\nb")).unwrap_err().exit, Exit::Usage);
    }
}
