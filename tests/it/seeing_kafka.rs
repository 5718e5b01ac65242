//! Verbs that look, and dead letters, on real Kafka and Postgres. Needs `scripts/services up`.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use sagabus::bus::{Admin, KafkaSettings, Probe, Purpose, RawRecord, TopicNeed, group_progress};
use sagabus::core::{Action, StepIx, command_id};
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::served::{Served, bootstrap, publish_to};

fn settings() -> KafkaSettings {
    KafkaSettings::new(&bootstrap(), "looking", None)
}

/// First and last offset of each partition.
type Ends = BTreeMap<(String, i32), (i64, i64)>;
/// What each group has committed.
type Groups = BTreeMap<String, BTreeMap<(String, i32), i64>>;

/// What the cluster holds of one test: ends of its topics, and its groups with what they have committed.
fn kafka_as_it_is(name: &str) -> (Ends, Groups) {
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    let wait = Duration::from_secs(10);
    let metadata = client.fetch_metadata(None, wait).unwrap();
    let mut ends = Ends::new();
    for topic in metadata.topics().iter().filter(|topic| topic.name().contains(name)) {
        for partition in topic.partitions() {
            let marks = client.fetch_watermarks(topic.name(), partition.id(), wait).unwrap();
            ends.insert((topic.name().to_owned(), partition.id()), marks);
        }
    }
    let partitions: Vec<(String, i32)> = ends.keys().cloned().collect();
    let (committed, _) = group_progress(&settings(), &partitions).unwrap();
    let mut groups: Groups = committed.into_iter().map(|group| (group.name, group.committed)).collect();
    // Also groups that have committed nothing: nobody may have joined.
    let listed = client.fetch_group_list(None, wait).unwrap();
    for group in listed.groups().iter().filter(|group| group.name().contains(name)) {
        groups.entry(group.name().to_owned()).or_default();
    }
    (ends, groups)
}

/// A sum over everything that each table holds.
async fn tables_as_they_are(served: &Served) -> BTreeMap<String, i64> {
    let mut connection = served.databases[0].connect().await;
    let names: Vec<(String,)> =
        sqlx::query_as("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let mut sums = BTreeMap::new();
    for (name,) in names {
        let sum = served.count(&format!("SELECT coalesce(sum(hashtext(t::text)), 0)::bigint FROM {name} t")).await;
        sums.insert(name, sum);
    }
    sums
}

fn header(name: &str, value: impl AsRef<[u8]>) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_ref().to_vec())
}

fn letter(key: &str, value: &str, headers: Vec<(String, Vec<u8>)>) -> RawRecord {
    let (key, value) = (key.as_bytes().to_vec(), Some(value.as_bytes().to_vec()));
    RawRecord { partition: Some(0), key, value, headers }
}

/// A command as a participant that could not handle it puts it aside: headers and all.
fn command(saga: Uuid, step: u16, name: &str) -> RawRecord {
    let id = command_id(saga, StepIx(step), Action::Do, 1).to_string();
    let headers = vec![
        header("ce_id", &id),
        header("ce_type", "t"),
        header("ce_correlationid", saga.to_string()),
        header("ce_sagastep", name),
        header("ce_sagaaction", "do"),
        header("ce_sagaattempt", "1"),
        header("kafka_dlt-exception-message", "no such account"),
    ];
    letter("k", "{}", headers)
}

/// A topic of one partition that holds these records.
async fn dead_letters(topic: &str, letters: Vec<RawRecord>) {
    let need = TopicNeed { name: topic.to_owned(), purpose: Purpose::Outcome };
    Admin::connect(&settings()).unwrap().ensure(&[need], 1, 1).await.unwrap();
    let topic = topic.to_owned();
    let sent = tokio::task::spawn_blocking(move || {
        Probe::connect(&settings(), &topic, &topic).unwrap().send(&letters).unwrap();
    });
    sent.await.unwrap();
}

fn saga_of(served: &Served, key: &str) -> Uuid {
    served.json(&["show", key, "--output", "json"])["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_behind_is_found_by_offsets_of_engines_and_of_groups() {
    let mut served = Served::start("lagging").await;
    let (triggers, services) = (format!("{}.triggers", served.name), format!("{}-services", served.name));
    assert_eq!(served.start_saga("good", "30s"), 0);
    let lag = || served.json(&["lag", "--output", "json"]);
    let of_group = |lag: &Value| -> Vec<Value> {
        let groups = lag["commands"].as_array().unwrap().iter();
        groups.filter(|group| group["group"] == services.as_str()).cloned().collect()
    };
    let is_settled = || {
        let lag = lag();
        let engines = lag["inputs"].as_array().unwrap().iter().all(|input| input["behind"] == 0);
        engines && of_group(&lag).len() == 2 && of_group(&lag).iter().all(|group| group["behind"] == 0)
    };
    served.until("nobody is behind", || async { is_settled() }).await;
    let group = &of_group(&lag())[0];
    assert_eq!(
        (&group["members"], &group["state"], &group["participants"]),
        (&1.into(), &"Stable".into(), &json!(["a"]))
    );
    assert_eq!(served.json(&["lag", "--only-behind", "--output", "json"])["inputs"], json!([]));

    served.engine.kill().unwrap();
    served.engine.wait().unwrap();
    publish_to(&triggers, 0..7);
    let lag = served.json(&["lag", "--only-behind", "--output", "json"]);
    let inputs = lag["inputs"].as_array().unwrap();
    let behind: i64 = inputs.iter().map(|input| input["behind"].as_i64().unwrap()).sum();
    assert_eq!(behind, 7, "{lag}");
    assert!(inputs.iter().all(|input| input["topic"] == triggers.as_str() && input["carries"] == json!(["triggers"])));
    assert!(of_group(&lag).is_empty(), "participants are not behind: {lag}");
    let stop = format!("UPDATE input_offset SET stopped_because = 'by hand' WHERE topic = '{}.replies'", served.name);
    served.databases[0].run(&stop).await;
    let told = String::from_utf8(served.sagabus(&["lag", "--only-behind"]).stdout).unwrap();
    assert!(told.contains("stopped") && told.contains("by hand"), "{told}");
    assert!(told.contains("engines are behind by 7,"), "{told}");

    let top = served.json(&["top", "--output", "json"]);
    assert_eq!((&top["inputs"]["behind"], &top["inputs"]["topics"][&triggers]), (&7.into(), &7.into()), "{top}");
    assert!(top["inputs"]["stopped"].as_i64().unwrap() > 0, "{top}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saga_is_watched_to_its_end_and_everything_at_a_glance() {
    let served = Served::start("watched").await;
    assert_eq!(served.start_saga("good", "30s"), 0);
    assert_eq!(served.start_saga("refused", "30s"), 1);
    assert_eq!(served.start_saga("silent", "100ms"), 124);
    let rows = served.json(&["history", "good", "--output", "json"]).as_array().unwrap().len();
    let watched = served.sagabus(&["watch", "good"]);
    let told = String::from_utf8(watched.stdout).unwrap();
    assert_eq!((watched.status.code(), told.lines().count()), (Some(0), rows), "{told}");
    assert!(told.contains("succeeded a; ready b") && told.contains("phaseChanged completed"), "{told}");
    let lines = String::from_utf8(served.sagabus(&["watch", "good", "--output", "jsonl"]).stdout).unwrap();
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].is_u64()), "{lines}");
    assert_eq!(served.code(&["watch", "refused"]), 1, "compensated is another end");
    assert_eq!(served.code(&["watch", "silent", "--wait", "200ms"]), 124);
    assert_eq!(served.code(&["watch", "nobody"]), 3);

    let top = served.json(&["top", "--once", "--output", "json"]);
    let definition = &top["definitions"][0];
    assert_eq!((&top["writersAlive"], &top["stuck"], &top["parked"]), (&1.into(), &0.into(), &0.into()), "{top}");
    assert_eq!((&definition["open"], &definition["oldest"]["businessKey"]), (&json!({"running": 1}), &"silent".into()));
    let told = String::from_utf8(served.sagabus(&["top", "--once"]).stdout).unwrap();
    assert!(told.starts_with("engines 1 alive") && told.contains("silent running"), "{told}");

    // Watched while it goes on: ended by a person.
    let (url, kafka) = (served.databases[0].url.clone(), bootstrap());
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_sagabus"))
        .args(["watch", "silent", "--output", "jsonl", "--database-url", &url, "--kafka", &kafka])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(served.code(&["abandon", "silent", "--reason", "test", "--yes"]), 0);
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8(ended.stdout).unwrap().lines().last().unwrap().contains("abandoned"));
}

/// Seven dead letters: the command that `silent` waits for, twice; a trigger; one that starts nothing; two of nobody; a command that was
/// answered.
async fn letters_of(served: &Served, topic: &str) -> Uuid {
    let triggers = format!("{}.triggers", served.name);
    let (good, silent) = (saga_of(served, "good"), saga_of(served, "silent"));
    let trigger = |key: &str, kind: &str| {
        let headers = vec![
            header("ce_specversion", "1.0"),
            header("ce_id", key),
            header("ce_type", kind),
            header("kafka_dlt-original-topic", &triggers),
            header("kafka_dlt-original-partition", 2_i32.to_be_bytes()),
            header("kafka_dlt-original-offset", 77_i64.to_be_bytes()),
            header("kafka_dlt-exception-stacktrace", "at x"),
        ];
        letter(key, &format!(r#"{{"id":"{key}"}}"#), headers)
    };
    let letters = vec![
        command(silent, 1, "b"),
        command(silent, 1, "b"),
        trigger("late", "go"),
        trigger("other", "something-else"),
        letter("x", "nobody's", Vec::new()),
        letter("x", "theirs", vec![header("__connect.errors.topic", "elsewhere")]),
        command(good, 1, "b"),
    ];
    dead_letters(topic, letters).await;
    silent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_and_shown_by_what_their_headers_tell() {
    let served = Served::start("listed-letters").await;
    let (topic, triggers) = (format!("{}.dead-letters", served.name), format!("{}.triggers", served.name));
    assert_eq!(served.start_saga("good", "30s"), 0);
    assert_eq!(served.start_saga("silent", "500ms"), 124);
    let silent = letters_of(&served, &topic).await;
    let listed = served.json(&["dlq", "list", &topic, "--output", "json"]);
    assert_eq!(listed.as_array().unwrap().len(), 7);
    let at = |offset: i64| listed.as_array().unwrap().iter().find(|one| one["offset"] == offset).unwrap();
    assert_eq!((&at(0)["sagaId"], &at(0)["step"]), (&silent.to_string().into(), &"b".into()));
    assert_eq!(at(0)["error"], "no such account");
    assert_eq!((&at(2)["originalTopic"], &at(2)["originalPartition"]), (&triggers.as_str().into(), &2.into()));
    assert_eq!(at(5)["originalTopic"], "elsewhere");
    let newest = served.json(&["dlq", "list", &topic, "--limit", "2", "--output", "json"]);
    assert_eq!((&newest[0]["offset"], newest.as_array().unwrap().len()), (&6.into(), 2), "newest first");
    let shown = served.json(&["dlq", "show", &topic, "0@2", "--output", "json"]);
    assert_eq!((&shown["value"], &shown["originalOffset"]), (&r#"{"id":"late"}"#.into(), &77.into()));
    assert_eq!(served.code(&["dlq", "show", &topic, "0@7"]), 3);
    assert_eq!(served.code(&["dlq", "show", &topic, "4@0"]), 3);
    assert_eq!(served.code(&["dlq", "list", &format!("{topic}-no-such")]), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_go_back_by_the_line_or_not_at_all() {
    let served = Served::start("letters").await;
    let (topic, triggers) = (format!("{}.dead-letters", served.name), format!("{}.triggers", served.name));
    assert_eq!(served.start_saga("good", "30s"), 0);
    assert_eq!(served.start_saga("silent", "500ms"), 124);
    letters_of(&served, &topic).await;
    let redrive = |more: &[&str]| {
        let said = ["--reason", "INC-7", "--yes", "--output", "json"];
        served.sagabus(&[["dlq", "redrive", &topic].as_slice(), more, &said].concat())
    };
    for (place, why) in [
        ("0@4", "no header tells which topic"),
        ("0@5", "no definition reads that topic"),
        ("0@6", "is completed and waits for no answer"),
        ("0@3", "no definition makes anything of it"),
    ] {
        let refused = redrive(&[place]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(4) && told.contains(why), "{place}: {told}");
    }
    let tried = served.json(&["dlq", "redrive", &topic, "--all", "--dry-run", "--output", "json"]);
    let counts = |report: &Value| ["republished", "entered", "covered", "refused"].map(|name| report[name].as_u64());
    assert_eq!(counts(&tried), [Some(1), Some(1), Some(1), Some(4)], "{tried}");
    assert_eq!(served.count("SELECT count(*) FROM audit").await, 0, "a dry run asks for nothing");
    let done = redrive(&["--all", "--rate", "100/s"]);
    assert_eq!(done.status.code(), Some(5), "{}", String::from_utf8_lossy(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(counts(&report), [Some(1), Some(1), Some(1), Some(4)], "{report}");
    assert_eq!(
        (&report["letters"][0]["outcome"], &report["letters"][2]["verdict"]),
        (&"republished".into(), &"applied".into())
    );

    assert_eq!(served.code(&["watch", "late", "--wait", "30s"]), 0, "it began, and completes");
    let started = served.json(&["history", "late", "--output", "json"])[0]["facts"][0]["trigger"].clone();
    assert_eq!((&started["topic"], &started["offset"]), (&triggers.as_str().into(), &77.into()));
    let sent = served.json(&["history", "silent", "--output", "json"]).to_string();
    assert!(sent.contains("INC-7") && sent.contains("resent"), "{sent}");
    assert_eq!(served.count("SELECT count(*) FROM audit WHERE reason = 'INC-7' AND outcome = 'decided'").await, 2);
    let again: Value = serde_json::from_slice(&redrive(&["--all", "--rate", "100/s"]).stdout).unwrap();
    assert_eq!(again["letters"][2]["verdict"], "duplicate", "it may be done again");
    assert_eq!(served.code(&["verify"]), 0);
    assert_eq!(served.code(&["audit", "balance"]), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_looks_leaves_database_and_kafka_as_they_were() {
    let mut served = Served::start("untouched").await;
    let topic = format!("{}.dead-letters", served.name);
    for key in ["good", "refused"] {
        served.start_saga(key, "30s");
    }
    assert_eq!(served.start_saga("silent", "500ms"), 124);
    dead_letters(&topic, vec![command(saga_of(&served, "good"), 1, "b")]).await;
    served.engine.kill().unwrap();
    served.engine.wait().unwrap();
    served.databases[0]
        .run("INSERT INTO parked_message (topic, partition, \"offset\", reason, headers) VALUES ('t', 0, 7, 'malformed: x: y', '[]')")
        .await;
    let group = format!("{}-looking", served.name);
    let looks = [
        vec!["find", "good"],
        vec!["list"],
        vec!["count"],
        vec!["show", "good"],
        vec!["explain", "silent"],
        vec!["history", "good"],
        vec!["graph", "good"],
        vec!["timeline", "good"],
        vec!["stuck"],
        vec!["failures"],
        vec!["diff", "good", "refused"],
        vec!["parked", "list"],
        vec!["parked", "show", "1"],
        vec!["plan", "list"],
        vec!["plan", "approval"],
        vec!["jobs", "list"],
        vec!["verify"],
        vec!["audit", "list"],
        vec!["audit", "verify"],
        vec!["audit", "balance"],
        vec!["replay", "verify"],
        vec!["replay", "run", "good"],
        vec!["replay", "export", "good"],
        vec!["tokens", "list"],
        vec!["lag"],
        vec!["lag", "--only-behind", "--output", "json"],
        vec!["locks"],
        vec!["retention", "show"],
        vec!["watch", "good"],
        vec!["watch", "silent", "--wait", "10ms"],
        vec!["top", "--once"],
        vec!["dlq", "list", &topic],
        vec!["dlq", "list", "no-such-topic-of-untouched"],
        vec!["dlq", "show", &topic, "0@0"],
        vec!["dlq", "redrive", &topic, "--all", "--dry-run"],
        vec!["parked", "redrive", "--where", "topic=t", "--dry-run"],
        vec!["parked", "discard", "--where", "topic=t", "--dry-run"],
        vec!["republish", "silent", "b", "--dry-run"],
    ];
    let is_quiet = async || {
        let first = kafka_as_it_is("untouched");
        tokio::time::sleep(Duration::from_millis(500)).await;
        first == kafka_as_it_is("untouched")
    };
    served.until("participants have committed", || async { is_quiet().await }).await;
    let before = (tables_as_they_are(&served).await, kafka_as_it_is("untouched"));
    for look in &looks {
        let output = served.sagabus(&[look.as_slice(), &["--group", &group]].concat());
        let code = output.status.code().unwrap();
        assert!([0, 1, 3, 4, 124].contains(&code), "{look:?}: {code} {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!((tables_as_they_are(&served).await, kafka_as_it_is("untouched")), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sagas_are_kept_for_longer_than_the_topics_that_are_read_hold_their_triggers() {
    let served = Served::start("retention-held").await;
    assert_eq!(served.start_saga("k1", "20s"), 0);
    let bootstrap = bootstrap();
    let run = |keep: &str, more: &[&str]| {
        let words = ["retention", "run", "--kafka", &bootstrap, "--keep", keep, "--reason", "r", "--yes"];
        served.sagabus(&[words.as_slice(), more].concat())
    };
    // Topics hold records for 7 days, and a segment of as long is deleted whole.
    let short = run("13d", &[]);
    let said = String::from_utf8_lossy(&short.stderr).into_owned();
    assert_eq!(short.status.code(), Some(4), "{said}");
    assert!(said.contains("may hold a record for 14d00h") && said.contains("would start a second saga"), "{said}");
    // The engine's own look may be at work at the moment.
    served.until("it runs", || async { run("15d", &[]).status.code() == Some(0) }).await;
    assert_eq!(served.count("SELECT count(*) FROM saga").await, 1, "it ended a moment ago");
    served
        .until("the engine makes periods ahead", || async {
            served.count("SELECT count(*) FROM period WHERE from_id IS NOT NULL").await >= 8
        })
        .await;
}
