//! The binary on real Kafka and Postgres, as a team meets it. Needs `scripts/services up`.

use std::time::Duration;

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

    assert_eq!(served.code(&["resume", "good", "--reason", "test"]), 4, "it has ended");
    assert_eq!(served.code(&["cancel", "silent", "--reason", "test"]), 0);
    assert_eq!(served.code(&["abandon", "silent", "--reason", "test"]), 0);
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
    tokio::time::sleep(Duration::from_secs(3)).await;
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
    let before = served.count("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL").await;
    assert!(before > 10, "the others go on: {before}");
    let place = format!("{topic}/0");
    assert_eq!(served.code(&["topics", "seek", &place, "--to", "100000", "--reason", "test"]), 4);
    assert_eq!(served.code(&["topics", "seek", &place, "--to", "earliest", "--reason", "test"]), 0);
    served
        .until("everything is read", || async {
            served.count("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL").await == 40
        })
        .await;
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
