//! The command line as people and scripts meet it: exit codes, JSON, hints. On a Postgres of its own; what needs Kafka is in `faults`.

use std::process::{Command, Output};

use super::support::database::TestDatabase;

pub(super) fn sagabus(url: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sagabus"));
    command
        .args(arguments)
        .env_remove("SAGABUS_KAFKA")
        .env_remove("SAGABUS_DATABASE_URL")
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100");
    if let Some(url) = url {
        command.env("SAGABUS_DATABASE_URL", url);
    }
    command.output().expect("the binary runs")
}

pub(super) fn code(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

pub(super) fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_names_every_verb() {
    let help = sagabus(None, &["--help"]);
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for verb in [
        "serve",
        "dev",
        "bench",
        "migrate",
        "definitions",
        "topics",
        "start",
        "list",
        "show",
        "parked",
        "cancel",
        "resume",
        "signal",
        "approve",
        "reject",
        "abandon",
        "replay",
        "verify",
        "audit",
        "hold",
        "retention",
        "participant",
    ] {
        assert!(text.contains(verb), "{verb}");
    }
}

const LOOKING: [&str; 15] = [
    "find", "list", "count", "explain", "history", "graph", "timeline", "stuck", "failures", "diff", "lag", "locks",
    "watch", "top", "waiting",
];

#[test]
fn each_verb_of_the_console_has_a_help_with_an_example() {
    let changing = [
        "republish",
        "retry",
        "edit",
        "skip",
        "complete",
        "fail",
        "compensate",
        "cancel",
        "pause",
        "resume",
        "resolve",
        "abandon",
    ];
    let mut all = String::new();
    for verb in LOOKING.into_iter().chain(changing) {
        let text = out(&sagabus(None, &[verb, "-h"]));
        assert!(text.contains(&format!("Example: sagabus {verb}")), "{text}");
        let changes = changing.contains(&verb);
        assert_eq!(text.contains("Changes something"), changes, "{verb}");
        assert_eq!(text.contains("Exit codes: 0 decided"), changes, "{verb}");
        let own = text.split("\nPlaces:").next().unwrap_or_default();
        all.push_str(&format!("$ sagabus {verb} -h\n{own}\n"));
    }
    for (group, verbs, looking) in [
        ("parked", ["list", "show", "redrive", "edit", "bind", "discard"].as_slice(), ["list", "show"].as_slice()),
        ("dlq", &["list", "show", "redrive"], &["list", "show"]),
        (
            "replay",
            &["verify", "run", "what-if", "export", "import", "redrive", "serve"],
            &["verify", "run", "what-if", "export", "serve"],
        ),
        ("hold", &["participant", "definition", "step", "list", "release"], &["list"]),
    ] {
        for verb in verbs {
            let text = out(&sagabus(None, &[group, verb, "-h"]));
            assert!(text.contains(&format!("Example: sagabus {group} {verb}")), "{text}");
            assert_eq!(text.contains("Changes something"), !looking.contains(verb), "{verb}");
            let own = text.split("\nPlaces:").next().unwrap_or_default();
            all.push_str(&format!("$ sagabus {group} {verb} -h\n{own}\n"));
        }
    }
    for (verb, word) in [
        ("plan", "list"),
        ("plan", "show"),
        ("plan", "approval"),
        ("jobs", "list"),
        ("jobs", "watch"),
        ("jobs", "pause"),
        ("jobs", "resume"),
        ("jobs", "cancel"),
        ("apply", ""),
    ] {
        let said: Vec<&str> = [verb, word, "-h"].into_iter().filter(|word| !word.is_empty()).collect();
        let text = out(&sagabus(None, &said));
        assert!(text.contains(format!("Example: sagabus {verb} {word}").trim_end()), "{text}");
        assert_eq!(
            text.contains("Changes something"),
            verb == "apply" || ["pause", "resume", "cancel"].contains(&word)
        );
        let own = text.split("\nPlaces:").next().unwrap_or_default();
        all.push_str(&format!("$ sagabus {}\n{own}\n", said.join(" ")));
    }
    super::console::golden("help", &all);
}

#[test]
fn shells_complete_every_verb_and_each_has_a_manual_page() {
    for shell in ["bash", "zsh", "fish"] {
        let script = out(&sagabus(None, &["completions", shell]));
        assert!(["find", "failures", "what-if", "redrive"].iter().all(|verb| script.contains(verb)), "{shell}");
    }
    let folder = std::env::temp_dir().join(format!("sagabus-man-{}", std::process::id()));
    assert_eq!(code(&sagabus(None, &["man", "--to", folder.to_str().unwrap()])), 0);
    let page = std::fs::read_to_string(folder.join("sagabus-replay-what-if.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("Example: sagabus replay what"), "{page}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_said_wrongly_is_named_before_anything_is_asked() {
    let said = |arguments: &[&str]| {
        let output = sagabus(Some("postgres://x@127.0.0.1:1/x"), arguments);
        (code(&output), error(&output))
    };
    let told = [
        (vec!["cancel", "k"], "--reason"),
        (vec!["cancel", "k", "--reason", "why"], "--yes is missing"),
        (vec!["cancel", "k", "--reason", "why", "--no-input"], "--yes is missing"),
        (vec!["cancel", "k", "--reason", " ", "--yes"], "--reason is empty"),
        (vec!["complete", "k", "a", "--reply", "{", "--reason", "why", "--yes"], "--reply: not JSON"),
        (vec!["resolve", "k", "a", "--as", "gone", "--reason", "why", "--yes"], "undone"),
        (vec!["list", "--where", "phases=stuck"], "did you mean phase?"),
        (vec!["list", "--where", "phase=lost"], "no such phase"),
        (vec!["lag"], "no Kafka is configured"),
        (vec!["dlq", "list", "dead"], "no Kafka is configured"),
        (vec!["dlq", "show", "dead", "3"], "PARTITION@OFFSET"),
        (vec!["dlq", "redrive", "dead", "--all", "--reason", "why"], "--yes is missing"),
        (vec!["parked", "redrive", "--where", "topics=x", "--reason", "why", "--yes"], "did you mean topic?"),
        (vec!["parked", "redrive", "--why", "x", "--rate", "fast", "--reason", "why", "--yes"], "is not a rate"),
    ];
    for (arguments, word) in told {
        let (code, error) = said(&arguments);
        assert!(code == 2 && error.contains(word), "{arguments:?}: {code} {error}");
    }
    for reads in [
        vec!["find", "k"],
        vec!["stuck"],
        vec!["cancel", "k", "--dry-run"],
        vec!["cancel", "k", "--reason", "w", "--yes"],
    ] {
        assert_eq!(said(&reads).0, 6, "{reads:?}: the database does not answer");
    }
}

#[test]
fn lint_prints_findings_as_json_and_exits_7() {
    let folder = std::env::temp_dir().join(format!("sagabus-lint-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("broken.saga.yaml");
    std::fs::write(&file, "saga: v1\nname: t\nversion: 1\ntrigger: {topic: t, type: t}\nbusinessKey: ${trigger.data.id}\nsteps:\n  a: {after: [b], command: {type: a}}\n").unwrap();
    let file = file.to_str().unwrap();
    let found = sagabus(None, &["definitions", "lint", file, "--output", "json"]);
    assert_eq!(code(&found), 7);
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(findings.len(), 2, "{findings:?}");
    for key in ["file", "line", "column", "message", "hint"] {
        assert!(findings.iter().all(|finding| finding.get(key).is_some()), "{key}");
    }
    assert!(error(&sagabus(None, &["definitions", "lint", file])).contains("after: [b]"), "with a snippet");
    assert_eq!(code(&sagabus(None, &["definitions", "lint", "sagas"])), 0);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn exit_codes_tell_scripts_what_went_wrong() {
    let database = TestDatabase::migrated("cli").await;
    let url = Some(database.url.as_str());
    assert_eq!(code(&sagabus(None, &["list"])), 2, "no database is configured");
    assert_eq!(code(&sagabus(Some("postgres://x@127.0.0.1:1/x"), &["list"])), 6, "it does not answer");
    let list = sagabus(url, &["list", "--output", "json"]);
    assert_eq!((code(&list), String::from_utf8_lossy(&list.stdout).trim()), (0, "[]"));
    let nobody = sagabus(url, &["show", "nobody"]);
    assert_eq!(code(&nobody), 3);
    assert!(error(&nobody).contains("hint:"));
    assert_eq!(code(&sagabus(url, &["cancel", "nobody", "--reason", "test", "--yes"])), 3);
    let asks = sagabus(url, &["cancel", "nobody", "--reason", "test"]);
    assert_eq!(code(&asks), 2, "nobody can be asked");
    assert!(error(&asks).contains("--yes is missing"), "{}", error(&asks));
    assert_eq!(code(&sagabus(url, &["edit", "nobody", "a", "--data", "{", "--reason", "test", "--yes"])), 2);
    assert_eq!(code(&sagabus(url, &["cancel", "nobody", "--reason", " "])), 2);
    assert_eq!(code(&sagabus(url, &["parked", "list", "--output", "json"])), 0);
    assert_eq!(code(&sagabus(url, &["replay", "verify"])), 0);
    let bad = std::env::temp_dir().join(format!("sagabus-bad-{}", std::process::id()));
    std::fs::create_dir_all(&bad).unwrap();
    std::fs::write(bad.join("x.saga.yaml"), "saga: v1\n").unwrap();
    let serve = sagabus(url, &["serve", "--definitions", bad.to_str().unwrap(), "--kafka", "127.0.0.1:1"]);
    assert_eq!(code(&serve), 7, "{}", error(&serve));
    std::fs::remove_dir_all(bad).unwrap();
}

pub(super) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Sagas without journals, and a record that was counted as malformed and is not parked.
async fn corrupt(database: &TestDatabase) {
    database
        .run(
            "INSERT INTO saga (id, definition_hash, definition_name, business_key, phase, started_at) \
             SELECT ('00000000-0000-7000-8000-00000000000' || n)::uuid, sha256('x'), 'd', 'k' || n, 0, now() FROM generate_series(1, 3) n; \
             INSERT INTO input_offset (topic, partition, first_offset, next_offset, applied, malformed) VALUES ('t', 0, 5, 8, 2, 1)",
        )
        .await;
}

#[tokio::test]
async fn checks_print_every_line_and_exit_1_when_something_is_wrong() {
    let database = TestDatabase::migrated("cli_checks").await;
    let url = Some(database.url.as_str());
    let well = sagabus(url, &["verify"]);
    assert_eq!(code(&well), 0, "{}", error(&well));
    insta::assert_snapshot!(out(&well), @r"
 CHECK                          MEANS  FOUND
 silent_sagas                   wrong  0
 late_wake_ups                  wrong  0
 journal_gaps                   wrong  0
 fold_differences               wrong  0
 compensation_order_violations  wrong  0
 unemitted_without_writer       wrong  0
 offset_holes                   wrong  0
 conflicting_replies            look   0
 parked_open                    look   0

0 wrong, 0 to look at; 0 sagas folded
");
    corrupt(&database).await;
    let wrong = sagabus(url, &["verify", "--limit", "1"]);
    assert_eq!(code(&wrong), 1);
    insta::assert_snapshot!(out(&wrong), @r"
 CHECK                          MEANS  FOUND
 silent_sagas                   wrong  3
 late_wake_ups                  wrong  0
 journal_gaps                   wrong  3
 fold_differences               wrong  0
 compensation_order_violations  wrong  0
 unemitted_without_writer       wrong  0
 offset_holes                   wrong  1
 conflicting_replies            look   0
 parked_open                    look   0

 CHECK         ID                                    KEY  WHAT
 silent_sagas  00000000-0000-7000-8000-000000000001  k1   running, without a wake-up, neither stuck nor paused
 journal_gaps  00000000-0000-7000-8000-000000000001  k1   a saga without a journal
 offset_holes  t/0                                   -    1 malformed records were counted, 0 are parked

7 wrong, 0 to look at; 3 sagas folded
");
    let json = sagabus(url, &["verify", "--sample", "2", "--output", "json"]);
    assert_eq!(code(&json), 1);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["sagasFolded"], &json["wrong"], &json["look"]), (&2.into(), &6.into(), &0.into()), "{json}");
    let silent = &json["checks"][0];
    assert_eq!(
        (&silent["check"], &silent["meaning"], &silent["count"]),
        (&"silent_sagas".into(), &"wrong".into(), &3.into())
    );
    assert_eq!(silent["first"][0]["key"], "k1");
    assert_eq!(json["checks"].as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn the_balance_of_records_is_printed_by_partition_and_exits_1_when_it_does_not_balance() {
    let database = TestDatabase::migrated("cli_balance").await;
    let url = Some(database.url.as_str());
    let well = sagabus(url, &["audit", "balance"]);
    assert_eq!(code(&well), 0, "{}", error(&well));
    assert!(error(&well).contains("the database alone is checked"), "{}", error(&well));
    corrupt(&database).await;
    let unbalanced = sagabus(url, &["audit", "balance"]);
    assert_eq!(code(&unbalanced), 1);
    insta::assert_snapshot!(out(&unbalanced), @r"
 PARTITION  FIRST  NEXT  GAPS  VERDICTS                DIFFERENCE  LOW  END  LAG  STOPPED
 t/0        5      8     0     applied 2, malformed 1  0           -    -    -    -

 PARTITION  DOES NOT BALANCE
 t/0        1 malformed records were counted, 0 are parked

3 offsets passed in 1 partitions; 1 offenders
");
    let json = sagabus(url, &["audit", "balance", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let account = &json["partitions"][0];
    assert_eq!((&account["topic"], &account["first"], &account["next"]), (&"t".into(), &5.into(), &8.into()));
    assert_eq!((&account["verdicts"]["malformed"], &account["difference"]), (&1.into(), &0.into()));
    assert_eq!((&json["comparedWithLog"], &account["low"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(json["offenders"][0]["id"], "t/0");

    let nowhere = Some("postgres://x@127.0.0.1:1/x");
    assert_eq!((code(&sagabus(nowhere, &["verify"])), code(&sagabus(nowhere, &["audit", "balance"]))), (6, 6));
}

#[tokio::test]
async fn a_value_that_postgres_cannot_reckon_with_is_wrong_usage_and_no_definition() {
    let database = TestDatabase::migrated("cli_out_of_range").await;
    let words = ["retention", "run", "--keep", "99999999h", "--topics-hold", "7d", "--dry-run"];
    let refused = sagabus(Some(&database.url), &words);
    assert!(code(&refused) == 2 && error(&refused).contains("out of range"), "{}", error(&refused));
    assert!(!error(&refused).contains("definition"), "{}", error(&refused));
}
