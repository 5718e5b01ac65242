//! What Postgres says that it has done, before and after.

use sqlx::{Connection as _, PgConnection};

const FIGURES_SELECT: &str = include_str!("sql/figures_select.sql");
const STATEMENTS_CREATE: &str = include_str!("sql/statements_create.sql");
const STATEMENTS_SELECT: &str = include_str!("sql/statements_select.sql");

/// What was done up to a moment, or between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Figures {
    pub(super) wal_bytes: i64,
    pub(super) wal_syncs: i64,
    pub(super) transactions: i64,
    pub(super) updates: i64,
    pub(super) hot_updates: i64,
    /// Rows that nobody sees and vacuum has not removed: as of now, not since.
    pub(super) dead_rows: i64,
    /// `None`: the server does not count them.
    #[sqlx(skip)]
    pub(super) statements: Option<i64>,
}

impl Figures {
    /// What was done between two moments.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            wal_bytes: self.wal_bytes - before.wal_bytes,
            wal_syncs: self.wal_syncs - before.wal_syncs,
            transactions: self.transactions - before.transactions,
            updates: self.updates - before.updates,
            hot_updates: self.hot_updates - before.hot_updates,
            dead_rows: self.dead_rows,
            statements: self.statements.zip(before.statements).map(|(now, then)| now - then),
        }
    }
}

/// Asks one database.
#[derive(Debug)]
pub(super) struct Watch {
    connection: PgConnection,
    counts_statements: bool,
}

impl Watch {
    pub(super) async fn connect(url: &str) -> Result<Self, sqlx::Error> {
        let mut connection = PgConnection::connect(url).await?;
        let counted = sqlx::query(STATEMENTS_CREATE).execute(&mut connection).await.is_ok()
            && sqlx::query(STATEMENTS_SELECT).execute(&mut connection).await.is_ok();
        Ok(Self { connection, counts_statements: counted })
    }

    pub(super) async fn look(&mut self) -> Result<Figures, sqlx::Error> {
        let mut figures: Figures = sqlx::query_as(FIGURES_SELECT).fetch_one(&mut self.connection).await?;
        if self.counts_statements {
            let (calls,): (i64,) = sqlx::query_as(STATEMENTS_SELECT).fetch_one(&mut self.connection).await?;
            figures.statements = Some(calls);
        }
        Ok(figures)
    }
}
