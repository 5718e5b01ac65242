//! The routes on a listener of this process, over a database of their own, with a token for each role.

use std::net::SocketAddr;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use sagabus::api::Listener;
use sagabus::engine::Health;
use sagabus::operations::{self, Issuer, Places, Role, TokenRequest};
use sagabus::store::Console;

use super::database::TestDatabase;
use super::http::{Answer, ask};
use super::world::{examples, row_of};

pub(crate) const TRADE: &str = "trade-settlement";

/// A listener, and how to ask it.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) console: Console,
    /// In the order of the roles.
    pub(crate) tokens: Vec<String>,
}

impl Listening {
    /// Begins on a database that has been migrated.
    pub(crate) async fn on(database: &TestDatabase) -> Self {
        Self::at(&Places { database_url: Some(database.url.clone()), ..Places::default() }).await
    }

    /// With people of an issuer, and a token for each role.
    pub(crate) async fn with_issuer(database: &TestDatabase, issuer: Arc<Issuer>) -> Self {
        let database_url = Some(database.url.clone());
        Self::at(&Places { database_url, issuer: Some(issuer), ..Places::default() }).await.with_tokens().await
    }

    /// Begins at these places.
    pub(crate) async fn at(places: &Places) -> Self {
        let console = Console::connect(places.database_url().unwrap()).await.unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), places).await.unwrap();
        let address = listener.address().unwrap();
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        tokio::spawn(listener.serve(Arc::new(Health::default()), metrics));
        Self { address, console, tokens: Vec::new() }
    }

    /// With a token for each role.
    pub(crate) async fn guarded(database: &TestDatabase) -> Self {
        Self::on(database).await.with_tokens().await
    }

    async fn with_tokens(mut self) -> Self {
        for role in Role::ALL {
            let token = self.token(role.name(), role, None).await;
            self.tokens.push(token);
        }
        self
    }

    pub(crate) async fn token(&self, name: &str, role: Role, definitions: Option<&[&str]>) -> String {
        let request = TokenRequest {
            name: name.to_owned(),
            role,
            definitions: definitions.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            expires_at: None,
            reason: "a test".to_owned(),
        };
        operations::create_token(&self.console, &request, "test").await.unwrap().token
    }

    /// The token of a role.
    pub(crate) fn of(&self, role: Role) -> &str {
        &self.tokens[role as usize]
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        ask(self.address, "GET", path, &[("authorization", &format!("Bearer {token}"))], None).await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [&[("authorization", bearer.as_str())], headers].concat();
        ask(self.address, "POST", path, &headers, Some(body)).await
    }
}

/// The examples, deployed.
pub(crate) async fn deploy(database: &TestDatabase) {
    let console = Console::connect(&database.url).await.unwrap();
    let rows: Vec<_> = examples().iter().map(|(source, plan)| row_of(source, plan)).collect();
    console.deploy(&rows, false).await.unwrap();
}

/// Running sagas without journals, with ids and keys by number.
pub(crate) async fn insert_sagas(database: &TestDatabase, definition: &str, numbers: std::ops::Range<usize>) {
    let (from, to) = (numbers.start, numbers.end - 1);
    database
        .run(&format!(
            "INSERT INTO saga (id, definition_hash, definition_name, business_key, phase, started_at) \
             SELECT ('0199d3a0-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, d.hash, d.name, 'k' || n, 0, now() \
             FROM generate_series({from}, {to}) n, definition d WHERE d.name = '{definition}'"
        ))
        .await;
}
