//! The barrier on real Postgres: every line of the contract's section 5.

use std::sync::Arc;
use std::time::Duration;

use sagabus::core::{Action, Answer, Json, Outcome, Sha256, Timestamp};
use sagabus::participant::{Begun, apply, begin, finish, forget};
use sagabus::wire::Received;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::support::database::TestDatabase;

fn command(saga: u128, action: Action, attempt: u16) -> Received {
    let saga_id = Uuid::from_u128(saga);
    Received {
        id: Uuid::new_v5(&saga_id, format!("{}{attempt}", action.name()).as_bytes()),
        saga_id,
        key: "k".into(),
        kind: "t".into(),
        step: "s".into(),
        action,
        attempt,
        reply_to: "r".into(),
        expires_at: None,
        traceparent: None,
        data: Json::empty_object(),
        data_hash: Sha256::of(b"{}"),
    }
}

fn done() -> Answer {
    let id = Arc::from("x");
    Answer {
        id,
        outcome: Outcome::Success,
        data: Json::empty_object(),
        code: None,
        retryable: false,
        without_effect: false,
    }
}

fn refused() -> Answer {
    Answer { outcome: Outcome::Failure, code: Some("NO".into()), ..done() }
}

async fn barrier(name: &str) -> (TestDatabase, PgConnection) {
    let database = TestDatabase::empty(name).await;
    let mut connection = database.connect().await;
    apply(&mut connection).await.unwrap();
    apply(&mut connection).await.unwrap();
    (database, connection)
}

/// Begins, and finishes with `answer` if it is to run. What is told, as a word.
async fn deliver(connection: &mut PgConnection, command: &Received, answer: Answer) -> String {
    let mut transaction = connection.begin().await.unwrap();
    let begun = begin(&mut transaction, command, None).await.unwrap();
    let told = match begun {
        Begun::Run => {
            finish(&mut transaction, command, &answer).await.unwrap();
            "ran".to_owned()
        }
        Begun::Busy => "busy".to_owned(),
        Begun::Answer(answer) => {
            let effect = if answer.without_effect { " without effect" } else { "" };
            format!("{:?} {}{effect}", answer.outcome, answer.code.as_deref().unwrap_or("-"))
        }
    };
    transaction.commit().await.unwrap();
    told
}

#[tokio::test]
async fn duplicates_conflicts_and_refusals_are_answered_from_the_store() {
    let (_database, mut connection) = barrier("barrier_duplicates").await;
    let first = command(1, Action::Do, 1);
    assert_eq!(deliver(&mut connection, &first, done()).await, "ran");
    assert_eq!(deliver(&mut connection, &first, done()).await, "Success -");
    let changed = Received { data_hash: Sha256::of(b"other"), ..first.clone() };
    assert_eq!(deliver(&mut connection, &changed, done()).await, "Failure saga.conflict");
    let refused_one = command(2, Action::Do, 1);
    assert_eq!(deliver(&mut connection, &refused_one, refused()).await, "ran");
    assert_eq!(deliver(&mut connection, &refused_one, done()).await, "Failure NO", "a definite failure is remembered");
    assert_eq!(
        deliver(&mut connection, &command(2, Action::Do, 2), done()).await,
        "ran",
        "a new attempt is judged anew"
    );
}

#[tokio::test]
async fn an_undo_closes_its_step_for_good() {
    let (_database, mut connection) = barrier("barrier_undo").await;
    assert_eq!(
        deliver(&mut connection, &command(1, Action::Undo, 1), done()).await,
        "Success - without effect",
        "before its do"
    );
    assert_eq!(deliver(&mut connection, &command(1, Action::Do, 1), done()).await, "Failure saga.step_closed");
    assert_eq!(
        deliver(&mut connection, &command(1, Action::Do, 2), done()).await,
        "Failure saga.step_closed",
        "whatever its attempt"
    );
    assert_eq!(deliver(&mut connection, &command(2, Action::Do, 1), done()).await, "ran");
    assert_eq!(deliver(&mut connection, &command(2, Action::Undo, 1), refused()).await, "ran");
    assert_eq!(deliver(&mut connection, &command(2, Action::Undo, 2), done()).await, "ran", "the first undo failed");
    assert_eq!(
        deliver(&mut connection, &command(2, Action::Undo, 3), done()).await,
        "Success - without effect",
        "undone once"
    );
    assert_eq!(deliver(&mut connection, &command(3, Action::Do, 1), refused()).await, "ran");
    assert_eq!(
        deliver(&mut connection, &command(3, Action::Undo, 1), done()).await,
        "Success - without effect",
        "its do had none"
    );
}

#[tokio::test]
async fn a_do_that_comes_too_late_is_refused_unless_it_has_run() {
    let (_database, mut connection) = barrier("barrier_expired").await;
    let past = Some(Timestamp::from_millis(1_000));
    let late = Received { expires_at: past, ..command(1, Action::Do, 1) };
    assert_eq!(deliver(&mut connection, &late, done()).await, "Failure saga.expired");
    let in_time = Received { expires_at: None, ..late.clone() };
    assert_eq!(deliver(&mut connection, &in_time, done()).await, "Failure saga.expired", "it is remembered");
    assert_eq!(deliver(&mut connection, &command(2, Action::Do, 1), done()).await, "ran");
    let again = Received { expires_at: past, ..command(2, Action::Do, 1) };
    assert_eq!(deliver(&mut connection, &again, done()).await, "Success -", "it has run");
    let undo = Received { expires_at: past, ..command(2, Action::Undo, 1) };
    assert_eq!(deliver(&mut connection, &undo, done()).await, "ran", "an undo never comes too late");
}

#[tokio::test]
async fn a_lease_keeps_others_away_until_it_is_over() {
    let (database, mut connection) = barrier("barrier_lease").await;
    let (doing, undoing) = (command(1, Action::Do, 1), command(1, Action::Undo, 1));
    let lease = Some(Duration::from_secs(60));
    assert_eq!(begin(&mut connection, &doing, lease).await.unwrap(), Begun::Run);
    assert_eq!(begin(&mut connection, &doing, lease).await.unwrap(), Begun::Busy);
    assert_eq!(begin(&mut connection, &undoing, lease).await.unwrap(), Begun::Busy);
    database.run("UPDATE sagabus_barrier.command SET lease_until = clock_timestamp() - interval '1 second'").await;
    assert_eq!(begin(&mut connection, &undoing, lease).await.unwrap(), Begun::Run, "possibly done: the undo runs");
    finish(&mut connection, &undoing, &done()).await.unwrap();
    assert!(finish(&mut connection, &undoing, &done()).await.is_err(), "an answer is set once");
}

#[tokio::test]
async fn a_stricter_transaction_is_refused_and_old_commands_are_forgotten() {
    let (database, mut connection) = barrier("barrier_isolation").await;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ").execute(&mut connection).await.unwrap();
    assert!(begin(&mut connection, &command(1, Action::Do, 1), None).await.is_err());
    sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
    deliver(&mut connection, &command(1, Action::Do, 1), done()).await;
    database.run("UPDATE sagabus_barrier.command SET finished_at = finished_at - interval '20 days'").await;
    assert_eq!(forget(&mut connection, Duration::from_secs(14 * 86_400), 100).await.unwrap(), 1);
    assert_eq!(forget(&mut connection, Duration::from_secs(14 * 86_400), 100).await.unwrap(), 0);
}

/// A do and its undo at the same moment from two connections: whoever comes first, no effect is left over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_do_and_its_undo_at_the_same_moment_never_leave_an_effect() {
    let pairs: u128 = std::env::var("SAGABUS_BARRIER_PAIRS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_500);
    let (database, mut connection) = barrier("barrier_race").await;
    database.run("CREATE TABLE effect (saga_id uuid PRIMARY KEY)").await;
    let race = |action: Action| {
        let url = database.url.clone();
        async move {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            for saga in 0..pairs {
                let command = command(saga, action, 1);
                let mut transaction = connection.begin().await.unwrap();
                if begin(&mut transaction, &command, None).await.unwrap() == Begun::Run {
                    let statement = match action {
                        Action::Do => "INSERT INTO effect VALUES ($1)",
                        Action::Undo => "DELETE FROM effect WHERE saga_id = $1",
                    };
                    sqlx::query(statement).bind(command.saga_id).execute(&mut *transaction).await.unwrap();
                    finish(&mut transaction, &command, &done()).await.unwrap();
                }
                transaction.commit().await.unwrap();
            }
        }
    };
    let doing = tokio::task::spawn(race(Action::Do));
    let undoing = tokio::task::spawn(race(Action::Undo));
    doing.await.unwrap();
    undoing.await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM effect").await, 0);
    let (met,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM sagabus_barrier.command WHERE action = 'do' AND outcome = 'success'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    println!("{met} of {pairs} came do first");
}
