//! The participant kit on real Kafka and Postgres (`scripts/services up`): a participant with the barrier passes, a sloppy one fails at
//! exactly the cases that its README lists.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::ValueEnum as _;
use sagabus::bus::{Admin, KafkaSettings, Purpose, TopicNeed};
use serde_json::Value;

use super::support::barrier_participant::{self, AS_LEDGER, AS_PARTICIPANT, BarrierParticipant};
use super::support::served::bootstrap;

#[path = "../../examples/participants/sloppy/participant.rs"]
mod sloppy;

use sloppy::{Participant, Sloppiness};

const SLOPPY_README: &str = include_str!("../../examples/participants/sloppy/README.md");

/// Makes a command and a reply topic of four partitions each. Returns the names.
async fn topics(name: &str) -> [String; 2] {
    let names = ["commands", "replies"].map(|kind| format!("kit-{name}-{}-{kind}", std::process::id()));
    let needs = names.each_ref().map(|name| TopicNeed { name: name.clone(), purpose: Purpose::Command });
    let admin = Admin::connect(&KafkaSettings::new(&bootstrap(), "kit", None)).unwrap();
    admin.ensure(&needs, 4, 1).await.unwrap();
    names
}

/// Runs the kit on these topics.
fn kit(topics: &[String; 2], more: &[&str]) -> Output {
    kit_within("4s", topics, more)
}

/// Runs the kit on these topics; `timeout`: how long an answer may take.
fn kit_within(timeout: &str, [commands, replies]: &[String; 2], more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sagabus"));
    command.args(["participant", "test", "--command-topic", commands, "--reply-topic", replies, "--type", "t"]);
    command.args(["--undo-type", "u", "--data", r#"{"order":"{key}"}"#, "--failing-data", r#"{"order":"refuse"}"#]);
    command.args(["--timeout", timeout]).args(more).output().unwrap()
}

/// The report, and the cases that failed.
fn failed(output: &Output) -> (Value, Vec<u64>) {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let rows = report["cases"].as_array().unwrap();
    let failed = rows.iter().filter(|row| row["verdict"] == "failed").map(|row| row["case"].as_u64().unwrap());
    let failed: Vec<u64> = failed.collect();
    assert_eq!(output.status.code(), Some(i32::from(!failed.is_empty())), "{output:?}");
    (report, failed)
}

/// The cases of the table's row: those with a ledger, those without.
fn listed(cell: &str) -> [Vec<u64>; 2] {
    let numbers = |text: &str| text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    match cell.split_once("with a ledger") {
        Some((with, without)) => [numbers(with), numbers(without)],
        None => [numbers(cell), numbers(cell)],
    }
}

/// Runs the kit against a sloppy participant of this process, with a ledger and without. Returns the cases that failed.
fn play(name: &str, topics: &[String; 2]) -> [Vec<u64>; 2] {
    let ledger = std::env::temp_dir().join(format!("{}-ledger", topics[0]));
    let participant = Participant::new(Sloppiness::from_str(name, false).unwrap(), Some(&ledger)).unwrap();
    let stop = AtomicBool::new(false);
    let kafka = KafkaSettings::new(&bootstrap(), &topics[0], None);
    let failed = std::thread::scope(|scope| {
        let serving = scope.spawn(|| sloppy::serve(&kafka, &topics[0], participant, &stop));
        let counting = format!("grep {{saga}} {} | awk '{{n += $3}} END {{print n + 0}}'", ledger.display());
        let options = ["--output", "json", "--restart-timeout", "6s"];
        let with = kit(topics, &[&options[..], &["--ledger-command", counting.as_str()]].concat());
        // A participant that has stopped for good would only fail at everything now.
        let without = if serving.is_finished() { None } else { Some(kit(topics, &options)) };
        stop.store(true, Ordering::Relaxed);
        let with = failed(&with).1;
        let without = without.map_or_else(|| with.clone(), |output| failed(&output).1);
        [with, without]
    });
    std::fs::remove_file(ledger).unwrap();
    failed
}

/// The rows of the README's table, every `parts`-th from `part` on, are what the kit finds.
async fn readme_is_right(part: usize, parts: usize) {
    let rows: Vec<Vec<&str>> = SLOPPY_README
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    let names: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    let known = Sloppiness::value_variants().iter().map(|one| one.to_possible_value().unwrap().get_name().to_owned());
    assert!(known.eq(names.iter().copied()), "the README lists every sloppiness once: {names:?}");
    for row in rows.iter().skip(part).step_by(parts) {
        let topics = topics(row[1]).await;
        assert_eq!(play(row[1], &topics), listed(row[2]), "{}: cases that failed, with a ledger and without", row[1]);
    }
}

#[tokio::test]
async fn sloppy_participants_fail_at_the_cases_that_their_readme_lists_first_third() {
    readme_is_right(0, 3).await;
}

#[tokio::test]
async fn sloppy_participants_fail_at_the_cases_that_their_readme_lists_second_third() {
    readme_is_right(1, 3).await;
}

#[tokio::test]
async fn sloppy_participants_fail_at_the_cases_that_their_readme_lists_last_third() {
    readme_is_right(2, 3).await;
}

#[tokio::test]
async fn a_participant_with_the_barrier_passes_every_case_also_when_it_is_killed() {
    let topics = topics("barrier").await;
    let participant = BarrierParticipant::start(&topics[0], "barrier").await;
    let (restart, ledger) = (&*participant.restart_command, &*participant.ledger_command);
    let output = kit(&topics, &["--output", "json", "--restart-command", restart, "--ledger-command", ledger]);
    let (report, failed) = failed(&output);
    assert!(failed.is_empty(), "{report:#}");
    assert!(report["cases"].as_array().unwrap().iter().all(|row| row["verdict"] == "passed"), "{report:#}");
    let raced = report["cases"][7]["came"].as_str().unwrap();
    assert!(raced.contains("success") && raced.contains("saga.step_closed"), "both orders were met: {raced}");
}

#[tokio::test]
async fn a_participant_that_calls_out_under_a_lease_keeps_cases_3_6_and_8() {
    let topics = topics("lease").await;
    let participant = BarrierParticipant::start(&topics[0], "lease").await;
    let ledger = &*participant.ledger_command;
    let at_work = || participant.database.count("SELECT count(*) FROM at_work");
    for _ in 0..20 {
        if at_work().await == 2 {
            break;
        }
        assert!(kit(&topics, &["--case", "3"]).status.success());
    }
    assert_eq!(at_work().await, 2, "both workers have partitions");
    // The 400 commands of case 8 alone keep two workers busy for some 4 s.
    let output = kit_within("15s", &topics, &["--output", "json", "--case", "3,6,8", "--ledger-command", ledger]);
    let (report, failed) = failed(&output);
    assert!(failed.is_empty() && report["cases"].as_array().unwrap().len() == 3, "{report:#}");
    assert!(participant.database.count("SELECT count(*) FROM busy").await > 0, "somebody met a running lease");
}

#[tokio::test]
async fn a_participant_that_never_answers_fails_at_once_and_junit_says_so() {
    let topics = topics("nobody").await;
    let output = kit(&topics, &["--output", "junit", "--restart-timeout", "1s"]);
    let xml = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        xml.contains(r#"tests="14""#) && xml.contains(r#"failures="12""#) && xml.contains("Does the participant run"),
        "{xml}"
    );
}

#[tokio::test]
async fn exit_codes_tell_wrong_usage_missing_topics_and_an_absent_broker_apart() {
    let code = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sagabus"));
        command.args(["participant", "test"]).args(arguments).output().unwrap().status.code()
    };
    let flags = ["--command-topic", "no-such-topic", "--reply-topic", "no-such-topic", "--type", "t"];
    let with = |more: &[&'static str]| [&flags[..], more].concat();
    assert_eq!(code(&[]), Some(2), "nothing is said");
    assert_eq!(code(&with(&["--case", "15"])), Some(2));
    assert_eq!(code(&with(&["--data", "no json"])), Some(2));
    assert_eq!(code(&["--definition", "sagas/trade-settlement.saga.yaml"]), Some(2), "which step?");
    let step = ["--definition", "sagas/trade-settlement.saga.yaml", "--step", "order"];
    assert_eq!(code(&step), Some(2), "the data need a trigger");
    assert_eq!(code(&with(&[])), Some(3));
    assert_eq!(code(&with(&["--kafka", "127.0.0.1:1"])), Some(6));
}

#[test]
#[ignore = "the participant's process of the tests above"]
fn participant_process() {
    barrier_participant::serve(&std::env::var(AS_PARTICIPANT).unwrap());
}

#[test]
#[ignore = "the ledger command of the tests above"]
fn ledger_process() {
    barrier_participant::count(&std::env::var(AS_LEDGER).unwrap());
}
