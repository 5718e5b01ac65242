//! Retention over HTTP on a real Postgres: what would be removed, and a run that goes on step by step.

use std::process::Output;

use sagabus::operations::Role;
use sagabus::store::Keeper;
use serde_json::{Value, json};

use super::cli::{code, error, out, sagabus};
use super::remote::{at_server, without_ages, without_ids};
use super::retention::past;
use super::support::database::TestDatabase;
use super::support::listening::Listening;

const RUN: &str = "retention run --keep 30d --topics-hold 7d";
const STEPS: &str = "/v1/retention/steps";

/// A run by the command line, straight where nobody listens.
fn run(database: &TestDatabase, listening: Option<(&Listening, Role)>, line: &str) -> Output {
    let words: Vec<&str> = line.split(' ').collect();
    match listening {
        None => sagabus(Some(&database.url), &words),
        Some((listening, role)) => {
            at_server(&format!("http://{}", listening.address), listening.of(role), &words).output().unwrap()
        }
    }
}

/// What was printed, but for what is another moment each time.
fn shown(output: &Output) -> String {
    without_ids(&without_ages(&format!("exit {}\n{}{}", code(output), out(output), error(output))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_at_a_server_takes_several_steps_and_removes_and_prints_what_a_run_removes_straight() {
    let (straight, database) =
        (TestDatabase::migrated("api_retention_straight").await, TestDatabase::migrated("api_retention").await);
    let name = past(&straight, 400).await;
    past(&database, 400).await;
    for counted in [&straight, &database] {
        counted.run("ANALYZE").await;
    }
    let listening = Listening::guarded(&database).await;
    let at = |role| Some((&listening, role));
    for line in [&format!("{RUN} --dry-run"), "retention show", "retention run --keep 7d --topics-hold 14d --dry-run"] {
        assert_eq!(shown(&run(&straight, None, line)), shown(&run(&database, at(Role::Viewer), line)), "{line}");
    }
    let viewer = run(&database, at(Role::Viewer), &format!("{RUN} --reason r --yes"));
    assert!(code(&viewer) == 1 && error(&viewer).contains("this needs the role admin"), "{}", error(&viewer));

    let one = run(&straight, None, &format!("{RUN} --reason r --yes"));
    let other = run(&database, at(Role::Admin), &format!("{RUN} --rate 30 --reason r --yes"));
    assert!(out(&one).contains(&name) && out(&one).contains("396 sagas removed"), "{}", shown(&one));
    assert!(error(&other).contains("sagas removed, "), "a long run says how far it is: {}", error(&other));
    let whole = |output: &Output| without_ids(&without_ages(&out(output)));
    assert_eq!((code(&one), whole(&one)), (code(&other), whole(&other)), "{}", error(&other));
    assert_eq!(database.count("SELECT count(*) FROM saga").await, 4, "those that are open");
    let told = |verb: &str| format!("SELECT count(*) FROM audit WHERE who = 'token:admin' AND verb = '{verb}'");
    let steps = database.count(&told("remove sagas")).await;
    assert!((2..5).contains(&steps), "each step is told: {steps}");
    assert_eq!(database.count(&told("drop partition")).await, 2);
    assert_eq!(code(&run(&database, None, &format!("{RUN} --reason r --yes"))), 0, "nobody is at it any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_goes_on_where_the_one_before_it_ended_and_never_removes_more_than_may_be() {
    let database = TestDatabase::migrated("api_retention_steps").await;
    past(&database, 20).await;
    let listening = Listening::guarded(&database).await;
    let admin = listening.of(Role::Admin);
    let post = async |more: Value| {
        let mut body = json!({"keepSeconds": 30 * 86_400, "topicsHoldSeconds": 7 * 86_400, "reason": "INC-7"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        listening.post(admin, STEPS, &[], &body.to_string()).await
    };
    for (more, status, word) in [
        (json!({"from": "1/elsewhere/"}), 400, "from is not the `next` of a step"),
        (json!({"periodSeconds": 601}), 400, "periodSeconds: say whole minutes"),
        (json!({"periodSeconds": u64::MAX - 15}), 400, "periodSeconds: say whole minutes"),
        (json!({"keepSeconds": u64::MAX}), 400, "keepSeconds is at most 3155760000"),
        (json!({"rate": 0}), 400, "rate is at least 1"),
        (json!({"reason": " "}), 400, "reason is empty"),
        (json!({"keepSeconds": 3_600}), 409, "a day at least"),
        (json!({"topicsHoldSeconds": null}), 400, "no Kafka is configured"),
    ] {
        let answer = post(more.clone()).await;
        assert!(answer.status == status && answer.body.contains(word), "{more}: {answer:?}");
    }
    let mut keeper = Keeper::connect(&database.url).await.unwrap();
    keeper.lock().await.unwrap().unwrap();
    let busy = post(json!({})).await;
    assert!(busy.status == 409 && busy.body.contains("another process"), "{busy:?}");
    keeper.unlock().await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM saga").await, 20, "nothing was removed");

    let behind_all = post(json!({"from": "1/sagas/ffffffff-ffff-ffff-ffff-ffffffffffff"})).await.json();
    assert_eq!((&behind_all["report"]["sagas"], &behind_all["next"]), (&0.into(), &Value::Null));
    database.run("UPDATE saga SET finished_at = now() - interval '29 days' WHERE business_key = 'k1'").await;
    let later = post(json!({"from": "9000000000000000/sagas/00000000-0000-0000-0000-000000000000"})).await.json();
    assert_eq!((&later["report"]["sagas"], &later["lookedAt"], &later["next"]), (&19.into(), &20.into(), &Value::Null));
    assert_eq!(database.count("SELECT count(*) FROM saga WHERE business_key = 'k1'").await, 1, "kept for 30 days");
}
