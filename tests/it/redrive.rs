//! Records put aside that enter the line again: judged like any other, in the order of their logs, without moving an offset.

use sagabus::core::{Phase, Verdict};
use sagabus::store::ParkedMessage;
use serde_json::Value;
use uuid::Uuid;

use super::cli::{code, error, sagabus};
use super::console_story::{act, look};
use super::support::participants::Behaviour;
use super::support::world::{MemoryWorld, trigger_data};
use super::verify::Busy;

const TRIGGERS: &str = "orders.events";
const REPLIES: &str = "trade-settlement.replies";
const PLACED: [(&str, Option<&[u8]>); 2] = [("ce_type", Some(b"order.accepted")), ("ce_id", Some(b"t1"))];

async fn judged(world: &mut MemoryWorld, message: ParkedMessage) -> (Verdict, bool) {
    let id = Uuid::from_u128(u128::from(world.now.micros().unsigned_abs()));
    world.database.redrive(id, message);
    world.run(1_000).await;
    let outcome = world.database.redriven(id).expect("an engine judges it within a second");
    (outcome.verdict, outcome.stays_parked)
}

#[tokio::test]
async fn a_trigger_that_is_made_right_starts_its_saga_once_and_moves_no_offset() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    world.world.broker.publish_raw(TRIGGERS, Some(b"k"), Some(b"{\"orderId\":"), &PLACED);
    world.run(1_000).await;
    let parked = world.database.parked().remove(0);
    assert!(parked.reason.starts_with("malformed"), "{}", parked.reason);
    let place = (parked.topic.clone(), parked.partition);
    let offset = world.database.offset(&place);
    assert_eq!(judged(&mut world, parked.clone()).await, (Verdict::Malformed, true), "it is as it was");
    let value = Some(trigger_data("k").get().as_bytes().to_vec());
    let mended = ParkedMessage { value, ..parked };
    assert_eq!(judged(&mut world, mended.clone()).await, (Verdict::Applied, false));
    world.run(2_000).await;
    let sagas = world.sagas();
    assert_eq!((sagas.len(), sagas[0].0.phase), (1, Phase::Completed));
    assert_eq!(sagas[0].0.trigger.timestamp, mended.written_at, "it is named by the record's own moment");
    assert_eq!(judged(&mut world, mended).await, (Verdict::Duplicate, false));
    assert_eq!((world.database.offset(&place), world.database.parked().len()), (offset, 1));
}

#[tokio::test]
async fn an_orphan_that_is_bound_to_its_command_is_the_answer_that_its_saga_waits_for() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Silent));
    world.world.broker.publish_raw(TRIGGERS, Some(b"k"), Some(trigger_data("k").get().as_bytes()), &PLACED);
    world.run(200).await;
    let command = world.world.participants.seen[0].clone();
    let nobody = Uuid::from_u128(7).to_string();
    let answer: Vec<(&str, Option<&[u8]>)> = vec![
        ("ce_specversion", Some(b"1.0")),
        ("ce_id", Some(b"r1")),
        ("ce_source", Some(b"/x")),
        ("ce_type", Some(b"x")),
        ("ce_sagaoutcome", Some(b"success")),
        ("ce_correlationid", Some(nobody.as_bytes())),
        ("ce_causationid", Some(nobody.as_bytes())),
    ];
    world.world.broker.publish_raw(REPLIES, Some(b"k"), Some(br#"{"reservationId":"r1"}"#), &answer);
    world.run(200).await;
    let parked = world.database.parked().remove(0);
    assert!(parked.reason.starts_with("orphan"), "{}", parked.reason);
    assert_eq!(judged(&mut world, parked.clone()).await, (Verdict::Orphan, true));
    let saga = world.sagas()[0].0.id.to_string();
    let kept: Vec<(String, Option<String>)> = serde_json::from_str(&parked.headers).unwrap();
    let bound = kept.into_iter().map(|(name, value)| match &*name {
        "ce_correlationid" => (name, Some(saga.clone())),
        "ce_causationid" => (name, Some(command.id.to_string())),
        _ => (name, value),
    });
    let headers = serde_json::to_string(&bound.collect::<Vec<_>>()).unwrap();
    assert_eq!(judged(&mut world, ParkedMessage { headers, ..parked }).await, (Verdict::Applied, false));
    assert!(world.world.participants.seen.iter().any(|seen| seen.step != command.step), "the next step is asked");
}

#[tokio::test]
async fn what_was_cut_is_never_taken_for_whole() {
    let mut world = MemoryWorld::new(Box::new(|_| Behaviour::Answers));
    world.run(100).await;
    let cut = ParkedMessage {
        topic: TRIGGERS.into(),
        partition: 0,
        offset: 0,
        reason: String::new(),
        key: None,
        value: Some(trigger_data("k").get().as_bytes().to_vec()),
        headers: r#"[["ce_type","order.accepted"],["ce_id","t1"]]"#.to_owned(),
        written_at: world.now,
        is_whole: false,
    };
    assert_eq!(judged(&mut world, cut.clone()).await, (Verdict::Malformed, true));
    let unreadable = ParkedMessage { headers: "ce_type: x\n".to_owned(), is_whole: true, ..cut };
    assert_eq!(judged(&mut world, unreadable).await, (Verdict::Malformed, true));
    assert!(world.sagas().is_empty());
}

/// The story of a poison record, on a real Postgres: two of one key are put aside, made right and sent again in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_records_are_repaired_and_enter_the_line_again_in_order() {
    let mut busy = Busy::start("redrive_story", Box::new(|_| Behaviour::Answers)).await;
    for poison in ["{\"orderId\":", "{\"orderId\":7}"] {
        busy.world.broker.publish_raw(TRIGGERS, Some(b"account-1"), Some(poison.as_bytes()), &PLACED);
    }
    while busy.database.count("SELECT count(*) FROM parked_message").await < 2 {
        busy.turn().await;
    }
    let listed = look(&busy, &["parked", "list", "--key", "account-1", "--why", "malformed"]);
    let (second, first) = (listed[0]["id"].to_string(), listed[1]["id"].to_string());
    let shown = look(&busy, &["parked", "show", &first]);
    assert_eq!((&shown["value"], &shown["headers"][0][1]), (&"{\"orderId\":".into(), &"order.accepted".into()));

    let file = |key: &str| {
        let path = std::env::temp_dir().join(format!("sagabus-redrive-{key}-{}.json", std::process::id()));
        std::fs::write(&path, trigger_data(key).get()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (one, two) = (file("order-a"), file("order-b"));
    let said = ["--reason", "their serializer, INC-7", "--yes"];
    let edit_second = [&["parked", "edit", &second, "--file", &two], said.as_slice()].concat();
    let url = busy.database.url.clone();
    let early = sagabus(Some(&url), &edit_second);
    assert!(code(&early) == 4 && error(&early).contains("of the same key lies before"), "{}", error(&early));
    let edited = act(&mut busy, &[&["parked", "edit", &first, "--file", &one], said.as_slice()].concat()).await;
    assert_eq!(code(&edited), 0, "{}", error(&edited));

    // As it is it is malformed again, three times; a fourth time only by force.
    let as_it_is = [&["parked", "redrive", &second, "--output", "json"], said.as_slice()].concat();
    for _ in 0..3 {
        let again = act(&mut busy, &as_it_is).await;
        assert_eq!(code(&again), 4, "{}", error(&again));
        let judged: Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!((&judged[0]["verdict"], &judged[0]["staysParked"]), (&"malformed".into(), &true.into()));
    }
    let guarded = sagabus(Some(&url), &as_it_is);
    assert!(code(&guarded) == 4 && error(&guarded).contains("entered the line 3 times"), "{}", error(&guarded));
    let edited = act(&mut busy, &[edit_second.as_slice(), &["--force"]].concat()).await;
    assert_eq!(code(&edited), 0, "{}", error(&edited));
    assert_eq!(look(&busy, &["parked", "list"]), serde_json::json!([]));
    let twice = sagabus(Some(&url), &edit_second);
    assert!(code(&twice) == 4 && error(&twice).contains("redriven already"), "{}", error(&twice));

    // Both sagas began, in the order of the log; every attempt is in the audit; no check finds anything.
    let in_order = "SELECT count(*) FROM saga a JOIN saga b ON a.started_at < b.started_at \
                    WHERE a.business_key = 'order-a' AND b.business_key = 'order-b'";
    assert_eq!(busy.database.count(in_order).await, 1);
    let audited =
        "SELECT count(*) FROM audit WHERE target LIKE 'parked message %' AND reason = 'their serializer, INC-7'";
    assert_eq!(busy.database.count(audited).await, 5);
    assert_eq!(look(&busy, &["parked", "show", &second])["redrives"].as_array().unwrap().len(), 4);
    for check in [["verify"].as_slice(), &["audit", "balance"]] {
        assert_eq!(code(&sagabus(Some(&url), check)), 0, "{check:?}");
    }
    [one, two].iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_nobody_needs_is_discarded_and_kept() {
    let mut busy = Busy::start("redrive_discard", Box::new(|_| Behaviour::Answers)).await;
    busy.world.broker.publish_raw(TRIGGERS, Some(b"x"), Some(b"poison"), &PLACED);
    while busy.database.count("SELECT count(*) FROM parked_message").await < 1 {
        busy.turn().await;
    }
    let url = busy.database.url.clone();
    let discard = ["parked", "discard", "--topic", TRIGGERS, "--reason", "a test of theirs"];
    let asked = sagabus(Some(&url), &discard);
    assert!(code(&asked) == 2 && error(&asked).contains("--yes is missing"), "{}", error(&asked));
    assert_eq!(code(&sagabus(Some(&url), &[discard.as_slice(), &["--dry-run"]].concat())), 0);
    assert_eq!(look(&busy, &["parked", "list"]).as_array().unwrap().len(), 1, "a dry run writes nothing");
    assert_eq!(code(&sagabus(Some(&url), &[discard.as_slice(), &["--yes"]].concat())), 0);
    assert_eq!(code(&sagabus(Some(&url), &[discard.as_slice(), &["--yes"]].concat())), 3, "none is left");
    assert_eq!(look(&busy, &["parked", "list", "--state", "all"])[0]["state"], "discarded");
    assert_eq!(code(&sagabus(Some(&url), &["parked", "show", "999"])), 3);
    assert_eq!(code(&sagabus(Some(&url), &["parked", "discard", "--reason", "none chosen", "--yes"])), 2);
    assert_eq!(code(&sagabus(Some(&url), &["verify"])), 0);
}

/// So many triggers are put aside for the same reason and then could be read; and two of one key never.
async fn outage(name: &str, sagas: usize) -> Busy {
    let mut busy = Busy::start(name, Box::new(|_| Behaviour::Answers)).await;
    for number in 0..sagas {
        let key = format!("key-{number}");
        busy.world.broker.publish_raw(TRIGGERS, Some(key.as_bytes()), Some(b"{\"orderId\":7}"), &PLACED);
    }
    for _ in 0..2 {
        busy.world.broker.publish_raw(TRIGGERS, Some(b"poison"), Some(b"{\"orderId\":"), &PLACED);
    }
    let parked = i64::try_from(sagas + 2).unwrap();
    while busy.database.count("SELECT count(*) FROM parked_message").await < parked {
        busy.turn().await;
    }
    for number in 0..sagas {
        let value = trigger_data(&format!("order-{number}"));
        let mend = format!(
            "UPDATE parked_message SET value = convert_to('{}', 'UTF8') WHERE key = 'key-{number}'",
            value.get()
        );
        busy.database.run(&mend).await;
    }
    busy
}

const SAID: [&str; 5] = ["--reason", "INC-7", "--yes", "--output", "json"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_are_shown_first_and_redriven_in_the_order_of_their_keys() {
    let mut busy = outage("redrive_many", 5).await;
    let url = busy.database.url.clone();
    let redrive = ["parked", "redrive", "--where", "topic=orders.events"];
    let shown = look(&busy, &[redrive.as_slice(), &["--dry-run"]].concat());
    assert_eq!((&shown["chosen"], &shown["refused"]), (&7.into(), &serde_json::json!([])), "{shown}");
    let would: Vec<u64> =
        shown["would"].as_array().unwrap().iter().map(|one| one["messages"].as_u64().unwrap()).collect();
    assert_eq!(would.iter().sum::<u64>(), 7, "{shown}");
    let code_of_poison =
        shown["would"].as_array().unwrap().iter().find(|one| one["messages"] == 2).unwrap()["reason"].clone();
    let code_of_poison = code_of_poison.as_str().unwrap().split(": ").nth(1).unwrap().to_owned();
    let poison = look(&busy, &["parked", "redrive", "--reason-code", &code_of_poison, "--dry-run"]);
    assert_eq!(poison["chosen"], 2, "{poison}");
    assert_eq!(
        look(&busy, &["parked", "list", "--where", &format!("code={code_of_poison}")]).as_array().unwrap().len(),
        2
    );
    let first = look(&busy, &[redrive.as_slice(), &["--limit", "3", "--dry-run"]].concat());
    assert_eq!((&first["chosen"], &first["isCut"]), (&3.into(), &true.into()));
    let nothing = sagabus(Some(&url), &["parked", "redrive", "--where", "topic=nobody", "--dry-run"]);
    assert_eq!(code(&nothing), 3, "{}", error(&nothing));
    let unasked = sagabus(Some(&url), &[redrive.as_slice(), &["--reason", "x"]].concat());
    assert!(code(&unasked) == 2 && error(&unasked).contains("--yes is missing"), "{}", error(&unasked));

    let done = act(&mut busy, &[redrive.as_slice(), &SAID, &["--rate", "100/s"]].concat()).await;
    let swept: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(code(&done), 5, "{}", error(&done));
    let counts = |swept: &Value| ["redriven", "parkedAgain", "refused"].map(|name| swept[name].as_u64().unwrap());
    assert_eq!(counts(&swept), [5, 1, 1], "{swept}");
    assert!(error(&done).contains("redrive 7 of 7 parked messages"), "shown first: {}", error(&done));
    assert_eq!(swept["refusals"][0]["reason"], "an earlier one of the same key waits");
    assert_eq!(busy.database.count("SELECT count(*) FROM saga").await, 5);

    // What never goes is stopped by the loop guard, and the one behind it by the order of its key.
    for _ in 0..2 {
        let again = act(&mut busy, &[redrive.as_slice(), &SAID].concat()).await;
        assert_eq!((code(&again), counts(&serde_json::from_slice(&again.stdout).unwrap())), (4, [0, 1, 1]));
    }
    let guarded = sagabus(Some(&url), &[redrive.as_slice(), &SAID].concat());
    assert_eq!(code(&guarded), 4);
    assert!(error(&guarded).contains("3 times or more in vain"), "{}", error(&guarded));

    let discard = ["parked", "discard", "--where", "reason=malformed"];
    assert_eq!(code(&sagabus(Some(&url), &[discard.as_slice(), &["--dry-run"]].concat())), 0);
    let discarded = sagabus(Some(&url), &[discard.as_slice(), &SAID].concat());
    assert_eq!(
        serde_json::from_slice::<Value>(&discarded.stdout).unwrap(),
        serde_json::json!({"asked": 2, "discarded": 2})
    );
    assert_eq!(look(&busy, &["parked", "list"]), serde_json::json!([]));
    for check in [["verify"].as_slice(), &["audit", "balance"]] {
        assert_eq!(code(&sagabus(Some(&url), check)), 0, "{check:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_is_killed_goes_on_where_it_was_and_begins_nothing_twice() {
    let mut busy = outage("redrive_killed", 12).await;
    let redrive = ["parked", "redrive", "--where", "key=key-0"];
    assert_eq!(code(&act(&mut busy, &[redrive.as_slice(), &SAID].concat()).await), 0);
    let all = ["parked", "redrive", "--reason-code", "trigger-data"];
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_sagabus"))
        .args(all)
        .args(SAID)
        .args(["--rate", "2/s"])
        .env("SAGABUS_DATABASE_URL", &busy.database.url)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while busy.database.count("SELECT count(*) FROM redrive WHERE verdict IS NOT NULL").await < 4 {
        busy.turn().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    while busy.database.count("SELECT count(*) FROM redrive WHERE verdict IS NULL").await > 0 {
        busy.turn().await;
    }
    let left = busy.database.count("SELECT count(*) FROM parked_message WHERE state = 'parked'").await;
    assert!((3..12).contains(&left), "it was killed half-way: {left}");
    let done = act(&mut busy, &[all.as_slice(), &SAID, &["--rate", "1000/s"]].concat()).await;
    assert_eq!(code(&done), 0, "{}", error(&done));
    assert_eq!(busy.database.count("SELECT count(*) FROM saga").await, 12);
    assert_eq!(busy.database.count("SELECT count(*) FROM redrive").await, 12, "none was asked for twice");
}
