//! The story of OPERATIONS.md section 1 on a real Postgres: a stuck compensation is found by whatever is at hand, explained and resolved.

use std::process::{Command, Output};

use sagabus::core::Action;
use sagabus::engine::wall_clock;
use serde_json::Value;

use super::cli::{code, error, out, sagabus};
use super::story::beside;
use super::verify::{Busy, mixed};

/// Looks, while nothing else happens.
pub(super) fn look(busy: &Busy, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--output", "json"]).collect();
    let output = sagabus(Some(&busy.database.url), &arguments);
    assert_eq!(code(&output), 0, "{arguments:?}: {}", error(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asks for an action, while the engine is at work.
pub(super) async fn act(busy: &mut Busy, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sagabus"));
    command.args(arguments).env("SAGABUS_DATABASE_URL", &busy.database.url);
    beside(busy, command).await
}

async fn until(busy: &mut Busy, phase: &str) {
    let until = wall_clock().plus_millis(30_000);
    while look(busy, &["list"])[0]["phase"] != phase {
        assert!(wall_clock() < until, "the saga becomes {phase}");
        for _ in 0..20 {
            busy.turn().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_compensation_is_found_explained_and_resolved() {
    let mut busy = Busy::start("console_story", mixed()).await;
    busy.trigger("order-7");
    until(&mut busy, "stuck").await;

    // Found by whatever is at hand.
    let id = look(&busy, &["stuck"])[0]["sagaId"].as_str().unwrap().to_owned();
    let history = look(&busy, &["history", "order-7"]);
    let trigger = &history[0]["facts"][0]["trigger"];
    let place = format!("{}/{}/{}", trigger["topic"].as_str().unwrap(), trigger["partition"], trigger["offset"]);
    let command = busy.world.participants.seen.iter().find(|seen| seen.action == Action::Undo).unwrap().id.to_string();
    for at_hand in ["order-7", id.as_str(), place.as_str(), command.as_str()] {
        let found = look(&busy, &["find", at_hand]);
        assert_eq!(found["sagas"][0]["id"], id.as_str(), "{at_hand}: {found}");
    }
    assert_eq!(look(&busy, &["find", &command])["sagas"][0]["command"], "undo of clearing, attempt 1");

    // Explained.
    let explanation = look(&busy, &["explain", "order-7"]);
    let sentence = explanation["sentence"].as_str().unwrap();
    assert!(sentence.contains("waiting for a person") && sentence.contains("undo of clearing"), "{sentence}");
    assert_eq!(explanation["applied"], serde_json::json!(["order", "clearing"]));
    let groups = look(&busy, &["failures"]);
    assert_eq!(
        (&groups[0]["step"], &groups[0]["action"], &groups[0]["stuck"]),
        (&"clearing".into(), &"undo".into(), &1.into())
    );
    let members = look(&busy, &["failures", "show", groups[0]["id"].as_str().unwrap()]);
    assert_eq!(members[0]["businessKey"], "order-7");
    assert_eq!(look(&busy, &["count", "--where", "phase=stuck", "--where", "key=order-*"])[0]["sagas"], 1);
    assert_eq!(look(&busy, &["list", "--where", "code=NO_SUCH"]), serde_json::json!([]));

    // What would not go is refused, and nothing has moved.
    let url = busy.database.url.clone();
    let refused = sagabus(Some(&url), &["cancel", "order-7", "--dry-run"]);
    assert_eq!(code(&refused), 4);
    assert!(error(&refused).contains("phase stuck; can: resume, retry, edit, resolve, abandon"), "{}", error(&refused));
    let nowhere = sagabus(Some(&url), &["resolve", "order-7", "clering", "--as", "undone", "--dry-run"]);
    assert!(code(&nowhere) == 2 && error(&nowhere).contains("did you mean clearing?"), "{}", error(&nowhere));
    let resolve = ["resolve", "order-7", "clearing", "--as", "undone"];
    let tried = look(&busy, &[resolve.as_slice(), &["--dry-run"]].concat());
    assert_eq!((&tried["phase"], &tried["phaseAfter"]), (&"stuck".into(), &"compensating".into()));
    assert_eq!(tried["commands"][0]["step"], "order");
    assert_eq!(look(&busy, &["history", "order-7"]), history, "a dry run writes nothing");
    assert_eq!(busy.database.count("SELECT count(*) FROM operation").await, 0);
    let said = ["--reason", "cancelled by phone", "--yes"];
    let moved = act(&mut busy, &[resolve.as_slice(), &said, &["--expect-seq", "1"]].concat()).await;
    assert!(code(&moved) == 4 && error(&moved).contains("moved on"), "{}", error(&moved));

    // Resolved.
    let resolved = act(&mut busy, &[resolve.as_slice(), &said].concat()).await;
    assert_eq!(code(&resolved), 0, "{}", error(&resolved));
    until(&mut busy, "compensated").await;
    let audited = "SELECT count(*) FROM audit WHERE verb = 'resolve' AND reason = 'cancelled by phone'";
    assert_eq!(busy.database.count(audited).await, 2, "also what was refused");
    assert_eq!(look(&busy, &["failures"]), serde_json::json!([]));
    let drawn = out(&sagabus(Some(&url), &["timeline", "order-7"]));
    assert!(drawn.contains("clearing") && drawn.contains('|'), "{drawn}");
    let after = look(&busy, &["history", "order-7"]);
    let followed = out(&sagabus(Some(&url), &["history", "order-7", "--follow", "--output", "jsonl"]));
    assert_eq!(followed.lines().count(), after.as_array().unwrap().len(), "it ends with the saga");
    let facts = after.as_array().unwrap().iter().flat_map(|row| row["facts"].as_array().unwrap());
    assert!(facts.clone().any(|fact| fact["operation"]["reason"] == "cancelled by phone"));
}
