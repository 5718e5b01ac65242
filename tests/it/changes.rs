//! Following changes on a real Postgres: each row of the journal once, also one that becomes visible late.

use std::collections::BTreeSet;
use std::time::Duration;

use sagabus::engine::wall_clock;
use sagabus::operations::{Follower, Joined, Role};
use sagabus::store::{ChangedRow, Console};
use sqlx::Connection as _;
use tokio::io::AsyncReadExt as _;

use super::support::database::TestDatabase;
use super::support::http::open;
use super::support::listening::{Listening, TRADE, deploy, insert_sagas};

fn journal(number: usize, seq: usize) -> String {
    format!(
        "INSERT INTO journal (saga_id, seq, at, writer, facts) VALUES \
         (('0199d3a0-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid, {seq}, clock_timestamp(), 1, '')"
    )
}

/// Looks until nothing more is there.
async fn look(follower: &mut Follower, console: &Console) -> Vec<ChangedRow> {
    let mut found = Vec::new();
    loop {
        let (rows, is_more) = follower.look(console).await.unwrap();
        found.extend(rows);
        if !is_more {
            return found;
        }
    }
}

/// Looks until so many rows are told: transactions of other databases of the server hold them back as well.
async fn look_for(follower: &mut Follower, console: &Console, count: usize) -> Vec<ChangedRow> {
    let until = wall_clock().plus_millis(30_000);
    let mut found = Vec::new();
    while found.len() < count {
        assert!(wall_clock() < until, "only {found:?}");
        found.extend(look(follower, console).await);
    }
    found
}

/// Waits until nothing that is open anywhere is older than the rows that are there.
async fn settled(database: &TestDatabase) {
    let unsettled = "SELECT count(*) FROM journal WHERE age(xmin) <= age(pg_snapshot_xmin(pg_current_snapshot())::xid)";
    let until = wall_clock().plus_millis(30_000);
    while database.count(unsettled).await > 0 {
        assert!(wall_clock() < until, "a transaction stays open");
    }
}

fn seqs(rows: &[ChangedRow]) -> Vec<u32> {
    rows.iter().map(|row| row.seq).collect()
}

#[tokio::test]
async fn a_row_that_becomes_visible_late_is_told_once() {
    let database = TestDatabase::migrated("changes_late").await;
    deploy(&database).await;
    insert_sagas(&database, TRADE, 1..3).await;
    let console = Console::connect(&database.url).await.unwrap();
    database.run(&journal(1, 1)).await;
    settled(&database).await;
    let mut follower = Follower::begin(&console).await.unwrap();
    assert_eq!(seqs(&look(&mut follower, &console).await), [0_u32; 0], "it begins now");
    let begun = follower.id();

    let mut connection = database.connect().await;
    let mut late = connection.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(journal(1, 2))).execute(&mut *late).await.unwrap();
    database.run(&journal(2, 3)).await;
    // Younger, and visible first.
    let early = look(&mut follower, &console).await;
    assert!(early.is_empty(), "held back behind the open transaction: {early:?}");
    late.commit().await.unwrap();
    let both = look_for(&mut follower, &console, 2).await;
    assert_eq!(seqs(&both), [2, 3], "in the order of time");
    assert_eq!(seqs(&look(&mut follower, &console).await), [0_u32; 0], "once");

    let Joined::GoesOn(mut again) = Follower::join(&console, &begun).await.unwrap() else { panic!("it goes on") };
    let rows = look_for(&mut again, &console, 2).await;
    assert_eq!(seqs(&rows), [2, 3], "from where it stood");
    assert!(Follower::join(&console, "7").await.is_err());
    let foreign = begun.replace(&begun[..8], if begun.starts_with("00000000") { "11111111" } else { "00000000" });
    assert!(matches!(Follower::join(&console, &foreign).await.unwrap(), Joined::Anew(..)), "of another database");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_row_of_writers_that_overlap_is_told_exactly_once_across_broken_connections() {
    let database = TestDatabase::migrated("changes_many").await;
    deploy(&database).await;
    insert_sagas(&database, TRADE, 1..9).await;
    let listening = Listening::guarded(&database).await;
    let bearer = format!("Bearer {}", listening.of(Role::Viewer));
    let (mut stream, _, first) =
        open(listening.address, "GET", "/v1/changes", &[("authorization", &bearer)], None).await;
    let mut text = String::from_utf8(first).unwrap();
    while !text.contains("id: ") {
        read(&mut stream, &mut text).await;
    }
    let rows = 40;
    let writers: Vec<_> = (1..9)
        .map(|saga| {
            let url = database.url.clone();
            tokio::spawn(async move {
                let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
                for seq in 1..=rows {
                    // Each holds its row back for another while.
                    let statement = format!(
                        "BEGIN; {}; SELECT pg_sleep(0.001 * {}); COMMIT",
                        journal(saga, seq),
                        (saga * seq) % 17
                    );
                    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
                }
            })
        })
        .collect();
    let mut told = Vec::new();
    let (mut last, mut breaks) = (String::new(), 0);
    let until = tokio::time::Instant::now() + Duration::from_secs(50);
    while told.len() < 8 * rows {
        assert!(tokio::time::Instant::now() < until, "{} of {} rows were told", told.len(), 8 * rows);
        take(&mut text, &mut told, &mut last, 20 * (breaks + 1));
        if told.len() >= 20 * (breaks + 1) {
            breaks += 1;
            // The connection breaks: whatever was on its way is lost.
            let headers = [("authorization", bearer.as_str()), ("last-event-id", last.as_str())];
            let (another, head, rest) = open(listening.address, "GET", "/v1/changes", &headers, None).await;
            assert!(head.contains(" 200 "), "{head}");
            (stream, text) = (another, String::from_utf8(rest).unwrap());
        }
        if told.len() < 8 * rows {
            read(&mut stream, &mut text).await;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let once: BTreeSet<&String> = told.iter().collect();
    assert_eq!((told.len(), once.len()), (8 * rows, 8 * rows), "none twice, none missing");
}

async fn read(stream: &mut tokio::net::TcpStream, text: &mut String) {
    let mut bytes = Vec::new();
    assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the connection ended");
    text.push_str(&String::from_utf8(bytes).unwrap());
}

/// Takes whole events out of the text, until so many are told, and the last id.
fn take(text: &mut String, told: &mut Vec<String>, last: &mut String, most: usize) {
    while let Some(end) = text.find("\n\n").filter(|_| told.len() < most) {
        let event: String = text.drain(..end + 2).collect();
        assert!(!event.contains("event: reset"), "{event}");
        let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        if let Some(id) = line("id: ") {
            *last = id;
        }
        if let Some(data) = line("data: ") {
            let change: serde_json::Value = serde_json::from_str(&data).unwrap();
            told.push(format!("{}/{}", change["sagaId"], change["seq"]));
        }
    }
}
