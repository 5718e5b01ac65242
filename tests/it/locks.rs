//! What holds up what: as kept, and on a real Postgres where one session waits for another, straight and at a server.

use std::process::Output;
use std::str::FromStr as _;

use sagabus::cli::render;
use sagabus::core::Timestamp;
use sagabus::engine::wall_clock;
use sagabus::operations::{LeaseJson, LocksJson, Moment, Role, SessionJson, TimeFormat, Times, WaitJson};
use sagabus::store::{Keeper, PostgresStore, Store as _};
use serde_json::Value;
use sqlx::migrate::Migrate as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use super::cli::{code, error, out, sagabus};
use super::console::golden;
use super::remote::{at_server, without_ages, without_ids};
use super::support::database::TestDatabase;
use super::support::listening::Listening;

fn at(seconds: i64) -> Moment {
    Moment(Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000))
}

fn session(pid: i32, application: &str, state: Option<&str>, statement: Option<&str>) -> SessionJson {
    SessionJson {
        pid,
        application: Some(application.to_owned()),
        user: Some("ada".to_owned()),
        state: state.map(str::to_owned),
        since: state.map(|_| at(0)),
        transaction_since: state.map(|_| at(-1)),
        statement: statement.map(str::to_owned),
        waits_for: None,
        holds_up: Vec::new(),
    }
}

fn wait(lock: &str, relation: Option<&str>, seconds: i64, blocked_by: &[i32]) -> Option<WaitJson> {
    let (lock, mode, relation) = (lock.to_owned(), "ShareLock".to_owned(), relation.map(str::to_owned));
    Some(WaitJson { lock, mode, relation, since: Some(at(seconds)), blocked_by: blocked_by.to_vec() })
}

#[test]
fn people_and_programs_read_what_holds_up_what() {
    let times = Times { format: TimeFormat::Relative, now: at(962).0 };
    let idle = "idle in transaction";
    let sessions = vec![
        SessionJson {
            waits_for: wait("transactionid", Some("saga"), 900, &[4_712]),
            holds_up: vec![4_713],
            ..session(4_711, "sagabus", Some("active"), Some("WITH fence AS ( UPDATE writer"))
        },
        SessionJson {
            waits_for: wait("relation", Some("journal"), 940, &[4_711, 4_715, 0]),
            ..session(4_713, "sagabus-retention", Some("active"), Some("SELECT drop_period($1, $2, $3, $4)"))
        },
        SessionJson {
            holds_up: vec![4_711],
            ..session(4_712, "psql\u{1b}[31m", Some(idle), Some("UPDATE saga SET phase = ? WHERE id = ?"))
        },
        session(4_714, "psql", Some(idle), None),
        SessionJson { holds_up: vec![4_713], ..session(4_715, "other", None, None) },
    ];
    let lease = |kind, name: &str, holder: Option<&str>, heard_at, until| LeaseJson {
        kind,
        name: name.to_owned(),
        holder: holder.map(str::to_owned),
        since: Some(at(0)),
        heard_at,
        until,
    };
    let leases = vec![
        lease("engine", "3", Some("one"), Some(at(961)), None),
        lease("engine", "4", None, Some(at(700)), None),
        lease("job", "p31", Some("0199d3a0-7c1e-7b52-9a41-6f0c2d9e11aa"), None, Some(at(966))),
        lease("retention", "4713", Some("sagabus-retention"), None, None),
    ];
    let notes = vec!["what other roles' sessions do is seen by members of pg_read_all_stats alone".to_owned()];
    let seen = LocksJson { at: at(962), sessions, leases, notes };
    golden("locks", &render::locks(&seen, times));
    golden("locks_json", &serde_json::to_string_pretty(&seen).unwrap());
    let nothing = LocksJson { sessions: Vec::new(), leases: Vec::new(), notes: Vec::new(), ..seen };
    golden("locks_none", &render::locks(&nothing, times));
}

/// A session of its own, and its process.
async fn connect(database: &TestDatabase, name: &str) -> (PgConnection, i32) {
    let options = PgConnectOptions::from_str(&database.url).unwrap().application_name(name);
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let (pid,): (i32,) = sqlx::query_as("SELECT pg_backend_pid()").fetch_one(&mut connection).await.unwrap();
    (connection, pid)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|wrong| panic!("{wrong}: {}", error(output)))
}

/// What is seen of a session, once it is.
async fn seen(url: &str, pid: i32, is_it: impl Fn(&Value) -> bool) -> Value {
    let until = wall_clock().plus_millis(30_000);
    loop {
        let locks = json(&sagabus(Some(url), &["locks", "--output", "json"]));
        let sessions = locks["sessions"].as_array().unwrap();
        if let Some(found) = sessions.iter().find(|one| one["pid"] == pid && is_it(one)) {
            return found.clone();
        }
        assert!(wall_clock() < until, "{pid}: {locks}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_waits_is_shown_with_the_one_that_it_waits_for_and_no_value_of_their_statements() {
    let database = TestDatabase::migrated("locks").await;
    let url = database.url.as_str();
    let listening = Listening::guarded(&database).await;
    let nobody = sagabus(Some(url), &["locks"]);
    let told = out(&nobody);
    assert!(code(&nobody) == 0 && told.starts_with("no session waits") && error(&nobody).is_empty(), "{told}");

    let (mut holder, holds) = connect(&database, "holder").await;
    let mut open = holder.begin().await.unwrap();
    sqlx::query("UPDATE approval SET minimum_sagas = 7700 WHERE 'secret' = 'secret'")
        .execute(&mut *open)
        .await
        .unwrap();
    let idle = seen(url, holds, |_| true).await;
    assert_eq!((&idle["state"], &idle["application"]), (&"idle in transaction".into(), &"holder".into()), "{idle}");
    assert_eq!((&idle["holdsUp"], &idle["waitsFor"]), (&serde_json::json!([]), &Value::Null), "nobody waits yet");
    assert_eq!(idle["statement"], "UPDATE approval SET minimum_sagas = ? WHERE ? = ?");

    let (mut waiter, waits) = connect(&database, "waiter").await;
    let waiting = tokio::spawn(async move {
        let update = sqlx::query("UPDATE approval SET minimum_sagas = $1").bind(8_800);
        update.execute(&mut waiter).await.unwrap();
    });
    let blocked = seen(url, waits, |one| !one["waitsFor"].is_null()).await;
    let wait = &blocked["waitsFor"];
    assert_eq!((&wait["relation"], &wait["blockedBy"]), (&"approval".into(), &serde_json::json!([holds])), "{blocked}");
    assert!(wait["lock"] == "transactionid" && wait["mode"] == "ShareLock" && wait["since"].is_string(), "{blocked}");
    assert_eq!(seen(url, holds, |one| one["holdsUp"][0] == waits).await["statement"], idle["statement"]);
    for line in ["locks", "locks --output json", "locks --time-format iso"] {
        let words: Vec<&str> = line.split(' ').collect();
        let server = format!("http://{}", listening.address);
        let server = at_server(&server, listening.of(Role::Viewer), &words).output().unwrap();
        let straight = sagabus(Some(url), &words);
        let plain = |output: &Output| without_ids(&without_ages(&(out(output) + &error(output))));
        assert_eq!((code(&straight), plain(&straight)), (code(&server), plain(&server)), "{line}");
        assert!(error(&straight).contains("SELECT pg_terminate_backend(PID) ends a session"), "{}", error(&straight));
        assert!(!["secret", "7700", "8800"].iter().any(|value| out(&straight).contains(value)), "{}", out(&straight));
    }
    open.rollback().await.unwrap();
    waiting.await.unwrap();
    assert!(out(&sagabus(Some(url), &["locks"])).starts_with("no session waits"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sagabus_holds_is_shown_also_while_the_tables_that_tell_are_locked() {
    let database = TestDatabase::migrated("locks_leases").await;
    let url = database.url.as_str();
    let mut store = PostgresStore::new(url).unwrap();
    let writer = store.register(Some("one"), None).await.unwrap().writer;
    let mut keeper = Keeper::connect(url).await.unwrap();
    keeper.lock().await.unwrap().unwrap();
    let (mut migrating, migrates) = connect(&database, "migrating").await;
    migrating.lock().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(7)").execute(&mut migrating).await.unwrap();
    database
        .run(
            "INSERT INTO plan (number, hash, verb, request, selected, eligible, ineligible, planned_by, state, applied_by, reason, \
             applied_at, rate, ramp, worker, leased_until) \
             SELECT n, sha256(''), 'retry', '{}', '', 0, 0, 'ada', 'applying', 'grace', 'r', now(), '1/s', false, gen_random_uuid(), \
                 now() + (n - 1) * interval '1 hour' \
             FROM generate_series(1, 2) n",
        )
        .await;
    let look = || json(&sagabus(Some(url), &["locks", "--output", "json"]));
    let kinds = |locks: &Value| -> Vec<(String, String)> {
        let leases = locks["leases"].as_array().unwrap().iter();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        leases.map(|lease| (word(&lease["kind"]), word(&lease["name"]))).collect()
    };
    let locks = look();
    let mut told = kinds(&locks);
    let advisory: Vec<_> = told.drain(2..).collect();
    assert_eq!(told, [("engine".into(), writer.to_string()), ("job".into(), "p2".into())], "{locks}");
    assert!(advisory.len() == 2 && advisory.contains(&("migration".into(), migrates.to_string())), "{locks}");
    assert_eq!((&locks["leases"][0]["holder"], &locks["notes"]), (&"one".into(), &serde_json::json!([])));
    let retention = locks["leases"].as_array().unwrap().iter().find(|lease| lease["kind"] == "retention").unwrap();
    assert!(retention["holder"] == "sagabus-retention" && retention["since"].is_string(), "{retention}");

    let (mut holder, _) = connect(&database, "holder").await;
    let mut open = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE plan IN ACCESS EXCLUSIVE MODE").execute(&mut *open).await.unwrap();
    let locked = look();
    let mut told = kinds(&locked);
    told.sort();
    assert_eq!((told[0].0.as_str(), told.len(), told[1].0.as_str()), ("migration", 2, "retention"), "{locked}");
    assert!(locked["notes"][0].as_str().unwrap().contains("somebody has locked their tables"), "{locked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_see_the_sessions_of_others_is_shown_what_it_may() {
    let database = TestDatabase::migrated("locks_role").await;
    let role = format!("locks_{}", std::process::id());
    database.run(&format!("CREATE ROLE {role}; GRANT SELECT ON writer, plan TO {role}")).await;
    let (mut holder, holds) = connect(&database, "holder").await;
    let mut open = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE approval IN ACCESS EXCLUSIVE MODE").execute(&mut *open).await.unwrap();
    let (mut waiter, waits) = connect(&database, "waiter").await;
    let waiting = tokio::spawn(async move { sqlx::query("TABLE approval").execute(&mut waiter).await.unwrap() });
    let url = format!("{}?options=-c%20role%3D{role}", database.url);
    let blocked = seen(&url, waits, |one| !one["waitsFor"].is_null()).await;
    assert_eq!(
        (&blocked["waitsFor"]["lock"], &blocked["waitsFor"]["relation"]),
        (&"relation".into(), &"approval".into())
    );
    let blocker = seen(&url, holds, |one| one["holdsUp"][0] == waits).await;
    assert_eq!((&blocker["application"], &blocker["state"]), (&"holder".into(), &Value::Null), "{blocker}");
    assert_eq!((&blocked["statement"], &blocker["statement"]), (&Value::Null, &Value::Null));
    let shown = sagabus(Some(&url), &["locks"]);
    assert!(code(&shown) == 0 && error(&shown).contains("pg_read_all_stats"), "{}", error(&shown));
    open.rollback().await.unwrap();
    waiting.await.unwrap();
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
