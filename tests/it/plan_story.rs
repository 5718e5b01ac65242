//! Plans and jobs at the console, on a real Postgres with an engine at work: planned, refused, applied, stopped, gone on, withdrawn.

use std::process::Output;

use sagabus::core::Action;
use sagabus::engine::wall_clock;
use sagabus::operations::work_on_jobs;
use serde_json::Value;
use tokio::task::JoinSet;

use super::cli::{code, error, out, sagabus};
use super::console_story::{act, look};
use super::support::participants::Behaviour;
use super::verify::Busy;

pub(super) const SAGAS: usize = 60;

/// Trades whose clearing cannot be undone, and some that end well; beside them one that works on jobs.
pub(super) async fn stuck(name: &str) -> (Busy, JoinSet<()>) {
    let script =
        |command: &sagabus::wire::Received| match (command.key.starts_with("bad"), &*command.step, command.action) {
            (true, "risk", Action::Do) | (true, "clearing", Action::Undo) => Behaviour::Fails,
            _ => Behaviour::Answers,
        };
    let mut busy = Busy::start(name, Box::new(script)).await;
    (0..SAGAS).for_each(|number| busy.trigger(&format!("bad-{number:02}")));
    (0..3).for_each(|number| busy.trigger(&format!("good-{number}")));
    let until = wall_clock().plus_millis(30_000);
    while busy.database.count("SELECT count(*) FROM saga WHERE phase IN (2, 4)").await
        < i64::try_from(SAGAS + 3).unwrap()
    {
        assert!(wall_clock() < until, "all but the good ones are stuck");
        busy.turn().await;
    }
    let mut worker = JoinSet::new();
    worker.spawn(work_on_jobs(busy.database.url.clone()));
    (busy, worker)
}

fn say(busy: &Busy, arguments: &[&str]) -> Output {
    sagabus(Some(&busy.database.url), arguments)
}

/// The command ends so, and says this on standard error.
fn ends(busy: &Busy, arguments: &[&str], exit: i32, word: &str) {
    let output = say(busy, arguments);
    assert!(
        code(&output) == exit && error(&output).contains(word),
        "{arguments:?}: {} {}",
        code(&output),
        error(&output)
    );
}

async fn watched(busy: &mut Busy, plan: &str) -> (i32, Value) {
    let output = act(busy, &["jobs", "watch", plan, "--output", "json"]).await;
    (code(&output), serde_json::from_slice(&output.stdout).unwrap())
}

fn apply(busy: &Busy, plan: &str, flags: &[&str]) {
    let apply = ["apply", plan, "--reason", "INC-123", "--yes", "--who", "ada"];
    ends(busy, &[apply.as_slice(), flags].concat(), 0, "jobs watch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_resolved_by_a_plan_and_what_has_changed_since_is_refused() {
    let (mut busy, _worker) = stuck("plan_story").await;
    let group = look(&busy, &["failures"])[0]["id"].as_str().unwrap().to_owned();
    let resolve = ["resolve", "--failure", &group, "--step", "clearing", "--as", "undone"];

    // Tried: nothing is written, and the plan says the same.
    let tried = look(&busy, &[resolve.as_slice(), &["--dry-run"]].concat());
    assert_eq!((&tried["id"], &tried["eligible"]), (&Value::Null, &SAGAS.into()));
    assert_eq!(busy.database.count("SELECT count(*) FROM plan").await, 0);
    let planned = look(&busy, &[resolve.as_slice(), &["--who", "ada"]].concat());
    let again = look(&busy, &resolve);
    assert_eq!((&planned["id"], &again["id"]), (&"p1".into(), &"p2".into()));
    assert!(planned["hash"] == tried["hash"] && planned["hash"] == again["hash"], "the same state, the same hash");
    let dry = say(&busy, &[resolve.as_slice(), &["--dry-run"]].concat());
    let hash = &planned["hash"].as_str().unwrap()[..8];
    assert_eq!(out(&dry), format!("dry run {SAGAS} eligible, 0 refused   hash {hash}   not saved\n"));
    let shown = look(&busy, &["plan", "show", "p1"]);
    assert_eq!(shown["items"].as_array().unwrap().len(), SAGAS);
    assert_eq!(shown["items"][0]["effect"]["sends"][0]["step"], "order");
    assert_eq!(busy.database.count("SELECT count(*) FROM operation").await, 0, "nothing is asked for");
    let edit = ["edit", "--failure", &group, "--step", "clearing", "--data", r#"{"account":"b"}"#, "--dry-run"];
    assert_eq!(look(&busy, &edit)["eligible"], SAGAS, "the same data for many");

    // Above the minimum somebody else applies it, and that is audited.
    ends(&busy, &["plan", "approval", "--minimum-sagas", "20", "--reason", "test", "--yes"], 0, "more than 20");
    assert!(out(&say(&busy, &["plan", "approval"])).contains("more than 20 sagas"));
    let as_ada = ["apply", "p1", "--reason", "INC-123", "--yes", "--who", "ada"];
    ends(&busy, &as_ada, 4, "ada planned it");
    let refused = "SELECT count(*) FROM audit WHERE verb = 'apply' AND who = 'ada' AND outcome = 'refused'";
    assert_eq!(busy.database.count(refused).await, 1);

    // One saga is repaired by hand in between: it alone is refused.
    let by_hand =
        act(&mut busy, &["resolve", "bad-07", "clearing", "--as", "undone", "--reason", "by hand", "--yes"]).await;
    assert_eq!(code(&by_hand), 0, "{}", error(&by_hand));
    let fast = ["apply", "p1", "--reason", "INC-123", "--rate", "1000/s", "--ramp", "--yes", "--who", "grace"];
    ends(&busy, &fast, 0, "jobs watch p1");
    let (exit, job) = watched(&mut busy, "p1").await;
    assert_eq!((exit, &job["state"]), (5, &"partial".into()), "{job}");
    assert_eq!((&job["job"]["applied"], &job["job"]["refused"]), (&(SAGAS - 1).into(), &1.into()));
    let shown = look(&busy, &["plan", "show", "p1"]);
    let of_hand = shown["items"].as_array().unwrap().iter().find(|item| item["businessKey"] == "bad-07").unwrap();
    assert!(
        of_hand["state"] == "refused" && of_hand["message"].as_str().unwrap().contains("has moved on"),
        "{of_hand}"
    );
    let audited = "SELECT count(*) FROM audit WHERE verb = 'resolve' AND who = 'grace' AND reason = 'INC-123'";
    assert_eq!(busy.database.count(audited).await, i64::try_from(SAGAS).unwrap(), "also the refused one");
    ends(&busy, &fast, 4, "it is partial");
    assert_eq!(look(&busy, &["jobs", "list"])[0]["id"], "p1");
    assert_eq!(out(&say(&busy, &["plan", "list", "--output", "name"])), "p2\np1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_stops_when_too_many_are_stuck_again_goes_on_at_a_word_and_is_withdrawn() {
    let (mut busy, _worker) = stuck("plan_stop").await;
    let retry = ["retry", "--where", "phase=stuck", "--where", "key=bad-*"];
    assert_eq!(look(&busy, &retry)["eligible"], SAGAS);
    apply(&busy, "p1", &["--rate", "20/s", "--ramp", "--stop-on-error-percent", "5"]);
    let (exit, job) = watched(&mut busy, "p1").await;
    assert_eq!((exit, &job["state"]), (4, &"paused".into()), "what undoes them fails as before: {job}");
    assert!(job["message"].as_str().unwrap().contains("went wrong, more than 5 percent"), "{job}");
    assert!(job["job"]["released"].as_u64().unwrap() < u64::try_from(SAGAS).unwrap(), "{job}");
    ends(&busy, &["jobs", "pause", "p1", "--reason", "x", "--yes"], 4, "it is paused");
    // What a person had seen is forgiven; what goes wrong since may stop it once more.
    let (mut exit, mut job, mut words) = (exit, job, 0);
    while job["state"] == "paused" && words < 3 {
        words += 1;
        ends(&busy, &["jobs", "resume", "p1", "--reason", "they were known", "--yes"], 0, "");
        (exit, job) = watched(&mut busy, "p1").await;
    }
    assert_eq!((exit, &job["job"]["applied"]), (0, &SAGAS.into()), "{job}");
    assert!(job["job"]["stuckAgain"].as_u64().unwrap() > 0, "{job}");

    // At most five; the rest is left.
    assert_eq!(look(&busy, &retry)["id"], "p2");
    apply(&busy, "p2", &["--rate", "1000/s", "--max", "5"]);
    let (exit, job) = watched(&mut busy, "p2").await;
    assert_eq!((exit, &job["job"]["applied"], &job["job"]["skipped"]), (0, &5.into(), &(SAGAS - 5).into()), "{job}");

    // Cancelled under way, and withdrawn before it was applied.
    for plan in ["p3", "p4", "p5", "p6"] {
        while look(&busy, &["count", "--where", "phase=stuck"])[0]["sagas"] != SAGAS {
            busy.turn().await;
        }
        assert_eq!(look(&busy, &retry)["id"], plan);
    }
    apply(&busy, "p3", &["--rate", "1/m"]);
    ends(&busy, &["jobs", "cancel", "p3", "--reason", "wrong sagas", "--yes"], 0, "");
    let (exit, job) = watched(&mut busy, "p3").await;
    assert_eq!((exit, &job["state"]), (4, &"cancelled".into()), "{job}");
    ends(&busy, &["jobs", "cancel", "p4", "--reason", "not needed", "--yes"], 0, "");
    ends(&busy, &["apply", "p4", "--reason", "x", "--yes"], 4, "it is cancelled");

    // An hour later, and with other items than were hashed.
    busy.database.run("UPDATE plan SET valid_until = now() - interval '1 second' WHERE number = 5").await;
    assert_eq!(look(&busy, &["plan", "show", "p5"])["state"], "expired");
    ends(&busy, &["apply", "p5", "--reason", "x", "--yes"], 4, "plan again");
    busy.database.run("UPDATE plan_item SET seq = seq + 1 WHERE plan = 6 AND turn = 3").await;
    ends(&busy, &["apply", "p6", "--reason", "x", "--yes"], 4, "its hash was made of");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_wrongly_of_many_sagas_is_named_and_plans_nothing() {
    let (busy, _worker) = stuck("plan_usage").await;
    let stuck = ["--where", "phase=stuck"];
    let many = |verb: &[&'static str]| [verb, &stuck].concat();
    ends(&busy, &[many(&["retry"]).as_slice(), &["--yes"]].concat(), 2, "--yes belongs to apply");
    ends(&busy, &[many(&["retry"]).as_slice(), &["--reason", "x"]].concat(), 2, "--reason belongs to apply");
    ends(&busy, &[many(&["retry"]).as_slice(), &["--expect-seq", "3"]].concat(), 2, "for one saga");
    ends(&busy, &many(&["retry", "bad-01"]), 2, "cannot be used with");
    ends(&busy, &many(&["skip"]), 2, "--step is missing");
    ends(&busy, &["retry"], 2, "ID|KEY");
    ends(&busy, &["skip", "bad-01", "--reason", "x", "--yes"], 2, "STEP");
    ends(&busy, &["retry", "--where", "phase=paused"], 3, "no saga is selected");
    ends(&busy, &["retry", "--failure", "G000000"], 3, "no group G000000");
    ends(&busy, &["apply", "p7", "--reason", "x", "--yes"], 3, "no plan p7");
    ends(&busy, &["apply", "7", "--reason", "x", "--yes"], 2, "p1, p2, p3");
    ends(&busy, &["apply", "p1", "--yes"], 2, "--reason is missing");
    ends(&busy, &["apply", "p1", "--reason", "x"], 2, "--yes is missing");
    ends(&busy, &["apply", "p1", "--reason", "x", "--rate", "fast", "--yes"], 2, "20/s");

    let file = std::env::temp_dir().join(format!("sagabus-ids-{}", std::process::id()));
    let path = file.to_str().unwrap();
    std::fs::write(&file, "bad-01\nbad-99\n\nbad-98\n").unwrap();
    ends(&busy, &["retry", "--file", path], 3, "line 2: there is no saga bad-99; line 4: there is no saga bad-98");
    assert_eq!(busy.database.count("SELECT count(*) FROM plan").await, 0);
    let id = look(&busy, &["show", "bad-01"])["id"].as_str().unwrap().to_owned();
    std::fs::write(&file, format!("bad-01\nbad-02\n{id}\ngood-1\n")).unwrap();
    let planned = look(&busy, &["retry", "--file", path]);
    assert_eq!(
        (&planned["eligible"], &planned["refused"]),
        (&2.into(), &1.into()),
        "one is named twice, one has ended"
    );
    assert_eq!(planned["refusals"][0]["sagas"], 1);
    std::fs::remove_file(file).unwrap();
}
