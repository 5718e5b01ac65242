//! The binary on real Kafka and Postgres, as a team meets it. Needs `scripts/services up`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::support::served::{Served, definition, publish_raw, publish_to};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sagas_are_started_shown_steered_and_replayed_from_the_command_line() {
    let served = Served::start("steered").await;
    assert_eq!(served.start_saga("good", "30s"), 0);
    assert_eq!(served.start_saga("refused", "30s"), 1, "compensated is another end");
    assert_eq!(served.start_saga("silent", "1s"), 124, "time is up");
    assert_eq!(served.code(&["start", "nobody", "--data", "{}"]), 3);
    assert_eq!(served.code(&["start", &served.name, "--data", "no json"]), 2);

    let list = served.json(&["list", "--output", "json"]);
    let phases: Vec<&str> = list.as_array().unwrap().iter().map(|saga| saga["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["running", "compensated", "completed"], "newest first");
    let shown = served.json(&["show", "refused", "--output", "json"]);
    assert_eq!((&shown["error"]["step"], &shown["error"]["code"]), (&"b".into(), &"REFUSED".into()));
    let states: Vec<&str> =
        shown["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["compensated", "failed"]);
    assert_eq!(shown["journal"][0]["facts"][0]["fact"], "started");
    assert_eq!(served.json(&["list", "--phase", "completed", "--output", "json"]).as_array().unwrap().len(), 1);

    assert_eq!(served.code(&["resume", "good", "--reason", "test", "--yes"]), 4, "it has ended");
    assert_eq!(served.code(&["cancel", "silent", "--reason", "test", "--yes"]), 0);
    assert_eq!(served.code(&["abandon", "silent", "--reason", "test", "--yes"]), 0);
    assert_eq!(served.json(&["show", "silent", "--output", "json"])["phase"], "abandoned");
    assert_eq!(served.count("SELECT count(*) FROM audit").await, 3, "refused ones too");
    for saga in ["good", "refused", "silent"] {
        assert_eq!(served.code(&["replay", "run", saga]), 0, "{saga}");
    }
    assert_eq!(served.code(&["replay", "verify"]), 0);
    served.databases[0].run("UPDATE saga SET error = NULL WHERE error IS NOT NULL").await;
    assert_eq!(served.code(&["replay", "verify"]), 1, "a row that was changed by hand is found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_is_taken_up_and_a_broken_one_leaves_the_old_one_active() {
    let served = Served::start("versions").await;
    let file = served.folder.join("x.saga.yaml");
    std::fs::write(&file, "saga: v1\nname: broken\n").unwrap();
    std::fs::write(served.folder.join("y.saga.yaml"), definition(&served.name, 2)).unwrap();
    served.until_logged("new definitions are refused, the old ones stay active").await;
    assert_eq!(served.count("SELECT max(version)::bigint FROM definition").await, 1, "all or none");
    assert_eq!(served.start_saga("k1", "30s"), 0, "the old one is active");
    std::fs::remove_file(&file).unwrap();
    served
        .until("version 2 is active", || async {
            served.count("SELECT max(version)::bigint FROM definition").await == 2
        })
        .await;
    assert_eq!(served.start_saga("k2", "30s"), 0);
    assert_eq!(served.json(&["show", "k2", "--output", "json"])["version"], 2);
    assert_eq!(served.json(&["show", "k1", "--output", "json"])["version"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_outside_its_log_stops_alone_and_goes_on_where_an_operator_sends_it() {
    let served = Served::start("sought").await;
    assert_eq!(served.start_saga("k0", "30s"), 0);
    served
        .until("partitions are known", || async { served.count("SELECT count(*) FROM input_offset").await == 8 })
        .await;
    // As if the topic had been truncated below what was read: the engine reads it anew when somebody else has moved it.
    let topic = format!("{}.triggers", served.name);
    let statement = format!(
        "UPDATE input_offset SET next_offset = 900, gaps = gaps + 900 - next_offset WHERE topic = '{topic}' AND partition = 0"
    );
    served.databases[0].run(&statement).await;
    publish_to(&topic, 1..40);
    served
        .until("the partition is stopped", || async {
            served.count("SELECT count(*) FROM input_offset WHERE stopped_because IS NOT NULL").await == 1
        })
        .await;
    let ended = async || served.count("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL").await;
    served.until("the others go on", || async { ended().await > 10 }).await;
    assert!(ended().await < 40, "what the stopped one holds is not read");
    let place = format!("{topic}/0");
    assert_eq!(served.code(&["topics", "seek", &place, "--to", "100000", "--reason", "test"]), 4);
    assert_eq!(served.code(&["topics", "seek", &place, "--to", "earliest", "--reason", "test"]), 0);
    served.until("everything is read", || async { ended().await == 40 }).await;
    assert_eq!(served.count("SELECT count(*) FROM audit WHERE verb = 'seek'").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_record_that_is_read_again_after_a_seek_is_parked_again_and_holds_up_nobody() {
    let served = Served::start("again").await;
    let topic = format!("{}.triggers", served.name);
    assert_eq!(served.start_saga("k0", "30s"), 0);
    // No such member as the business key asks for.
    publish_raw(&topic, r#"{"nothing":1}"#);
    let parked = async || served.count("SELECT count(*) FROM parked_message").await;
    served.until("it is parked", || async { parked().await == 1 }).await;
    let place = served.json(&["parked", "list", "--output", "json"])[0]["partition"].as_i64().unwrap();
    let place = format!("{topic}/{place}");
    // The partition is read by a running engine, which notices that it was sent elsewhere.
    assert_eq!(served.code(&["topics", "seek", &place, "--to", "earliest", "--reason", "test"]), 0);
    served.until("it is parked again", || async { parked().await == 2 }).await;
    assert_eq!(served.start_saga("k1", "30s"), 0, "the engine goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_left_no_trace_of_a_topic_enters_the_line_again_and_nothing_else() {
    let served = Served::start("look-back").await;
    let (triggers, replies) = (format!("{}.triggers", served.name), format!("{}.replies", served.name));
    publish_to(&triggers, 0..5);
    let ended = async || served.count("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL").await;
    served.until("all end", || async { ended().await == 5 }).await;
    let lost = "DELETE FROM journal WHERE saga_id = (SELECT id FROM saga WHERE business_key = 'k3'); DELETE FROM saga WHERE business_key = 'k3'";
    served.databases[0].run(lost).await;

    let redrive = |topic: &str, more: &[&str]| {
        served.json(&[&["replay", "redrive", "--topic", topic, "--output", "json"], more].concat())
    };
    let tried = redrive(&triggers, &["--dry-run"]);
    assert_eq!(
        (&tried["read"], &tried["left"]["already exists"], &tried["entered"]["would enter"]),
        (&5.into(), &4.into(), &1.into())
    );
    assert_eq!(ended().await, 4, "a dry run writes nothing");
    let said = ["--reason", "lost by hand", "--yes", "--max-active", "2"];
    assert_eq!(redrive(&triggers, &said)["entered"], serde_json::json!({"applied": 1}));
    served.until("it begins and ends again", || async { ended().await == 5 }).await;
    assert_eq!(redrive(&triggers, &said)["entered"], serde_json::json!({}), "it may be done again");
    assert_eq!(
        served.count("SELECT count(*) FROM audit WHERE reason = 'lost by hand' AND outcome = 'decided'").await,
        1
    );

    let before = served.count("SELECT count(*) FROM journal").await;
    let answers = redrive(&replies, &said);
    let duplicates = answers["entered"]["duplicate"].as_u64().unwrap();
    assert!(duplicates >= 10 && answers["entered"].as_object().unwrap().len() == 1, "{answers}");
    assert_eq!(served.count("SELECT count(*) FROM journal").await, before, "what is known changes nothing");
    assert_eq!(redrive(&triggers, &["--from-time", "2100-01-01T00:00:00Z", "--dry-run"])["read"], 0);
    let some = redrive(&triggers, &["--partition", "0", "--from-offset", "0", "--to-offset", "1", "--dry-run"]);
    assert!(some["read"].as_u64().unwrap() <= 1, "{some}");
    assert_eq!(served.code(&["replay", "redrive", "--topic", "nobody.reads.it", "--dry-run"]), 3);
    assert_eq!(served.code(&["verify"]), 0);
}

/// The value of a metric, as it is scraped; `None` while there is none.
fn metric(address: &str, name: &str) -> Option<f64> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_find_nothing_beside_a_live_engine_whose_sampler_tells_of_what_is_corrupted() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let served = Served::start_with("checked", &["--listen", &address, "--verify-every", "200ms"]).await;
    let topic = format!("{}.triggers", served.name);
    publish_to(&topic, 0..300);
    let (mut times, mut ended) = (0, 0);
    while ended < 300 {
        for check in [["verify", "--limit=5"], ["audit", "balance"]] {
            let output = served.sagabus(&check);
            assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        }
        ended = served.count("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL").await;
        times += 1;
    }
    println!("checked {times} times beside the engine");
    let balance = served.json(&["audit", "balance", "--output", "json"]);
    let of = |name: &str| -> i64 {
        let partitions = balance["partitions"].as_array().unwrap().iter();
        partitions.filter(|account| account["topic"] == *topic).map(|account| account[name].as_i64().unwrap()).sum()
    };
    assert_eq!((&balance["comparedWithLog"], of("next"), of("end"), of("lag")), (&true.into(), 300, 300, 0));

    let found = |check: &str| metric(&address, &format!("sagabus_verify_findings{{check=\"{check}\"}}"));
    served
        .until("all sagas were looked at", || async {
            metric(&address, "sagabus_verify_sagas_total").is_some_and(|count| count >= 300.0)
        })
        .await;
    assert_eq!((found("fold_differences"), found("silent_sagas"), found("hash_breaks")), (Some(0.0), Some(0.0), None));
    assert_eq!(metric(&address, &format!("sagabus_balance_difference_records{{topic=\"{topic}\"}}")), Some(0.0));
    served.databases[0].run("UPDATE saga SET phase = 5 WHERE business_key IN ('k7', 'k8')").await;
    served.until("the sampler finds it", || async { found("fold_differences") == Some(2.0) }).await;
    assert_eq!(served.code(&["verify"]), 1);
    served.databases[0].run("UPDATE saga SET phase = 4 WHERE business_key IN ('k7', 'k8')").await;
    served.until("the sampler finds nothing any more", || async { found("fold_differences") == Some(0.0) }).await;
    served.databases[0].run("ALTER VIEW silent_sagas RENAME TO away").await;
    let last_round = || metric(&address, "sagabus_verify_last_round_timestamp_seconds").unwrap();
    assert_eq!(served.start_saga("meanwhile", "30s"), 0);
    let failing = last_round();
    assert_eq!(served.start_saga("and-again", "30s"), 0, "the engine is not disturbed by checks that fail");
    assert_eq!(last_round(), failing, "no round came to its end");
    served.databases[0].run("ALTER VIEW away RENAME TO silent_sagas").await;
    served.until("the sampler goes on", || async { last_round() > failing }).await;

    let behind = format!(
        "UPDATE input_offset SET next_offset = next_offset + 900, gaps = gaps + 900 WHERE topic = '{topic}' AND partition = 0"
    );
    served.databases[0].run(&behind).await;
    let output = served.sagabus(&["audit", "balance"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("{topic}/0")) && text.contains("lies behind the log, which ends at"), "{text}");
}
