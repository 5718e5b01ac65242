//! A database of its own for each test: on the configured Postgres, else on a private one.

use sagabus::dev::PrivatePostgres;
use sagabus::store::migrate;
use sqlx::{Connection as _, PgConnection};

/// A migrated database, and the server that it lives on when nobody else's was configured.
pub(crate) struct TestDatabase {
    pub(crate) url: String,
    _server: Option<PrivatePostgres>,
}

impl TestDatabase {
    /// An empty database called after the test.
    pub(crate) async fn empty(name: &str) -> Self {
        let configured = std::env::var("SAGABUS_DATABASE_URL").ok();
        let server = match &configured {
            Some(_) => None,
            None => Some(PrivatePostgres::start().await.expect("a private Postgres starts")),
        };
        let base = configured.unwrap_or_else(|| server.as_ref().expect("it was started").url("postgres"));
        // Postgres cuts a name at 63 bytes, and its end is what tells two runs apart.
        let name = format!("{name:.50}_{}", std::process::id());
        let mut connection = PgConnection::connect(&base).await.expect("Postgres answers");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .expect("a new name");
        let (server_part, _) = base.rsplit_once('/').expect("an address ends in a database");
        Self { url: format!("{server_part}/{name}"), _server: server }
    }

    /// A migrated database called after the test.
    pub(crate) async fn migrated(name: &str) -> Self {
        let database = Self::empty(name).await;
        migrate(&database.url).await.expect("the schema is made");
        database
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("Postgres answers")
    }

    /// Runs a statement that only a test would.
    pub(crate) async fn run(&self, statement: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection)
            .await
            .expect("the statement runs");
    }

    /// A number that a statement gives.
    pub(crate) async fn count(&self, statement: &str) -> i64 {
        let mut connection = self.connect().await;
        let query = sqlx::query_as(sqlx::AssertSqlSafe(statement.to_owned()));
        let (count,): (i64,) = query.fetch_one(&mut connection).await.expect("the statement runs");
        count
    }
}
