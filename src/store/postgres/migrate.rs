//! The schema: brought up to date by `sagabus migrate`, checked by everybody else.

use sqlx::Connection as _;
use sqlx::PgConnection;
use sqlx::migrate::Migrator;

static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

const MIGRATION_SELECT_LATEST: &str = include_str!("sql/migration_select_latest.sql");

/// Why the schema is not as this binary needs it.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database does not answer, or refuses.
    #[error("reach the database for its schema")]
    Database(#[source] sqlx::Error),
    /// A migration failed.
    #[error("migrate the schema")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// There is no schema, or an older one.
    #[error("use schema version {found}: this binary needs {needed}; run: sagabus migrate")]
    Older {
        /// What is there.
        found: i64,
        /// What is needed.
        needed: i64,
    },
    /// A newer binary has migrated.
    #[error("use schema version {found}: this binary knows {needed} only; run a newer sagabus")]
    Newer {
        /// What is there.
        found: i64,
        /// What is known.
        needed: i64,
    },
    /// A migration was begun and not applied to its end.
    #[error(
        "use the schema: migration {version} was begun and not ended; mend what stopped it and run: sagabus migrate"
    )]
    Unfinished {
        /// Its version.
        version: i64,
    },
}

/// Brings the schema up to date. Safe to run twice, and by several at once.
///
/// # Errors
/// The database does not answer, or a migration fails; what was applied before it stays.
pub async fn migrate(url: &str) -> Result<i64, MigrateError> {
    let mut connection = PgConnection::connect(url).await.map_err(MigrateError::Database)?;
    MIGRATOR.run(&mut connection).await.map_err(MigrateError::Migrate)?;
    Ok(needed())
}

/// Refuses a schema that is older or newer than this binary knows, or half way in between.
///
/// # Errors
/// It is, or the database does not answer.
pub async fn check_schema(url: &str) -> Result<(), MigrateError> {
    let mut connection = PgConnection::connect(url).await.map_err(MigrateError::Database)?;
    let (found, unfinished): (i64, Option<i64>) =
        match sqlx::query_as(MIGRATION_SELECT_LATEST).fetch_one(&mut connection).await {
            Ok(found) => found,
            // 42P01: there is no such table, so nothing was ever migrated.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => (0, None),
            Err(error) => return Err(MigrateError::Database(error)),
        };
    if let Some(version) = unfinished {
        return Err(MigrateError::Unfinished { version });
    }
    let needed = needed();
    match found.cmp(&needed) {
        std::cmp::Ordering::Less => Err(MigrateError::Older { found, needed }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(MigrateError::Newer { found, needed }),
    }
}

/// The advisory lock that sqlx takes while it migrates the database of this name.
pub(super) fn migration_key(database: &str) -> i64 {
    0x3d32_ad9e * i64::from(crc32(database.as_bytes()))
}

/// As of gzip and Ethernet.
fn crc32(bytes: &[u8]) -> u32 {
    let shifted = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shifted(crc)))
}

fn needed() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_the_one_that_everybody_computes() {
        assert_eq!((crc32(b"123456789"), crc32(b"")), (0xCBF4_3926, 0));
    }
}
