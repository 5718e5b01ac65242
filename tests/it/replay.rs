//! The replay tool on a real Postgres: sagas taken home as a file, decided again under another definition, brought into a database of
//! their own, stepped through; and nothing that it looks at changes.

use std::io::{BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use sagabus::core::{Fact, saga_id};
use sagabus::engine::wall_clock;
use sagabus::replay::{Export, ExportWriter, Exported, read};
use serde_json::Value;

use super::cli::{code, error, out, sagabus};
use super::support::database::TestDatabase;
use super::verify::{Busy, mixed};

const TRADE: &str = "sagas/trade-settlement.saga.yaml";

/// A file or folder that ends with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("sagabus-replay-{}-{name}", std::process::id())))
    }

    fn with(name: &str, text: impl AsRef<[u8]>) -> Self {
        let file = Self::new(name);
        std::fs::write(&file.0, text).unwrap();
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn definition(&self) -> String {
        format!("{}/sagas/trade.saga.yaml", self.path())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0).or_else(|_| std::fs::remove_dir_all(&self.0));
    }
}

/// Sums over everything that the tables hold.
async fn sums(database: &TestDatabase) -> Vec<i64> {
    let mut sums = Vec::new();
    for table in [
        "saga",
        "journal",
        "definition",
        "active_definition",
        "writer",
        "unemitted",
        "input_offset",
        "operation",
        "audit",
    ] {
        sums.push(database.count(&format!("SELECT coalesce(sum(hashtext(t::text)), 0)::bigint FROM {table} t")).await);
    }
    sums
}

async fn at_rest() -> Busy {
    let mut busy = Busy::start("replay_story", mixed()).await;
    (0..10).for_each(|number| busy.trigger(&format!("order-{number}")));
    let until = wall_clock().plus_millis(60_000);
    while busy.database.count("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL").await < 8 {
        assert!(wall_clock() < until, "nearly all of them end");
        busy.turn().await;
    }
    busy
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", error(output)))
}

/// The trade with one change.
fn changed(name: &str, from: &str, to: &str) -> Scratch {
    let text = std::fs::read_to_string(TRADE).unwrap();
    assert!(text.contains(from), "{from}");
    // In a project of its own, with its schemas.
    let project = Scratch::new(name);
    let (sagas, schemas) = (project.0.join("sagas"), project.0.join("schemas/trade-settlement"));
    [&sagas, &schemas].iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
    for schema in std::fs::read_dir("schemas/trade-settlement").unwrap() {
        let schema = schema.unwrap();
        std::fs::copy(schema.path(), schemas.join(schema.file_name())).unwrap();
    }
    std::fs::write(sagas.join("trade.saga.yaml"), text.replace(from, to)).unwrap();
    project
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sagas_are_taken_home_decided_again_and_nothing_changes() {
    let busy = at_rest().await;
    let url = Some(busy.database.url.as_str());
    let before = sums(&busy.database).await;

    // A change of the definition is tried on the sagas of the database: only those differ that it reaches.
    let other = changed("release", "type: order.release", "type: order.let-go");
    let same = sagabus(url, &["replay", "what-if", "--definition", TRADE, "--output", "json"]);
    assert_eq!((code(&same), &json(&same)["same"]), (0, &10.into()), "{}", out(&same));
    let amount = changed("amount", "amount: \"${trigger.data.amount}\"", "amount: \"${trigger.data.amount + 1}\"");
    let differs = sagabus(url, &["replay", "what-if", "--definition", &amount.definition(), "--output", "json"]);
    let report = json(&differs);
    assert_eq!((code(&differs), &report["differs"]), (1, &10.into()), "{report}");
    assert_eq!(report["sagas"][0]["seq"], 1);
    assert!(report["sagas"][0]["decided"].as_str().unwrap().starts_with("do order attempt 1 with data"), "{report}");
    let again = sagabus(url, &["replay", "what-if", "--definition", &amount.definition(), "--output", "json"]);
    assert_eq!(json(&again)["digest"], report["digest"], "two runs say the same");
    let released = sagabus(url, &["replay", "what-if", "--definition", &other.definition()]);
    assert!(out(&released).contains(" same, "), "{}", out(&released));
    let until = sagabus(url, &["replay", "run", "order-1", "--until", "2"]);
    assert_eq!(code(&until), 0, "{}", error(&until));

    // Taken home: masked, or as they are.
    let masked = sagabus(url, &["replay", "export", "--where", "key=order-*"]);
    assert!(code(&masked) == 0 && error(&masked).contains("10 sagas, payloads masked"), "{}", error(&masked));
    let (masked_file, revealed) = (Scratch::with("masked", &masked.stdout), Scratch::new("revealed"));
    assert_eq!(sums(&busy.database).await, before, "nothing has changed");
    let exported = sagabus(url, &["replay", "export", "--reveal", "--reason", "a fix"]);
    let told = "SELECT count(*) FROM audit WHERE verb = 'reveal' AND reason = 'a fix'";
    assert_eq!(busy.database.count(told).await, 1, "but for who saw what is masked");
    let before = sums(&busy.database).await;
    std::fs::write(&revealed.0, &exported.stdout).unwrap();
    let shows = |output: &Output| out(output).contains(r#"\"orderId\":\"order-1\""#);
    assert!(shows(&exported) && !shows(&masked), "{}", out(&masked));
    let cannot = sagabus(None, &["replay", "what-if", "--definition", TRADE, "--file", masked_file.path()]);
    assert!(code(&cannot) == 1 && out(&cannot).contains("payloads are masked"), "{}", out(&cannot));
    let home =
        sagabus(None, &["replay", "what-if", "--definition", TRADE, "--file", revealed.path(), "--output", "json"]);
    assert_eq!((code(&home), &json(&home)["same"]), (0, &10.into()), "{}", error(&home));
    let digest = |definition: &str| {
        json(&sagabus(
            None,
            &["replay", "what-if", "--definition", definition, "--file", revealed.path(), "--output", "json"],
        ))["digest"]
            .clone()
    };
    assert_eq!(digest(&amount.definition()), report["digest"], "the file says what the database says");
    assert_eq!(sums(&busy.database).await, before, "nothing has changed");

    // Into a database of its own.
    let lab = TestDatabase::migrated("replay_lab").await;
    let into = Some(lab.url.as_str());
    assert_eq!(code(&sagabus(into, &["replay", "import", masked_file.path()])), 2);
    let imported = sagabus(into, &["replay", "import", revealed.path()]);
    assert!(code(&imported) == 0 && error(&imported).contains("10 sagas"), "{}", error(&imported));
    assert_eq!(code(&sagabus(into, &["replay", "verify"])), 0);
    let rows = "SELECT sum(hashtext((id, business_key, phase, finished_at, error)::text))::bigint FROM saga";
    assert_eq!(lab.count(rows).await, busy.database.count(rows).await);
    let facts = "SELECT sum(hashtext((saga_id, seq, facts)::text))::bigint FROM journal";
    assert_eq!(lab.count(facts).await, busy.database.count(facts).await, "byte for byte");
    let twice = sagabus(into, &["replay", "import", revealed.path()]);
    assert!(code(&twice) == 4 && error(&twice).contains("the database has sagas"), "{}", error(&twice));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_changed_cut_or_is_something_else_is_refused() {
    let busy = at_rest().await;
    let url = Some(busy.database.url.as_str());
    let whole = out(&sagabus(url, &["replay", "export", "order-1", "--reveal", "--reason", "a test"]));
    let refused = |name: &str, text: String, why: &str| {
        let file = Scratch::with(name, text);
        let output = sagabus(None, &["replay", "run", file.path()]);
        assert!(code(&output) == 2 && error(&output).contains(why), "{name}: {}", error(&output));
    };
    refused("changed", whole.replacen("order-1", "order-2", 1), "changed since it was written");
    let cut: String = whole.lines().take(2).fold(String::new(), |text, line| text + line + "\n");
    refused("cut", cut, "cut off");
    refused("newer", whole.replacen("\"version\":1", "\"version\":9", 1), "of version 9");
    refused("empty", String::new(), "empty");
    refused("other", "{}\n".to_owned(), "line 1: it was not written by");
    assert_eq!(code(&sagabus(None, &["replay", "run", "no-such-file"])), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_saga_is_stepped_through_forward_and_back() {
    let busy = at_rest().await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_sagabus"))
        .args(["replay", "serve", "order-0"])
        .env("SAGABUS_DATABASE_URL", &busy.database.url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\n\np\n99\nl\nf\nq\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{}", error(&output));
    let text = out(&output);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("ROW ")).collect();
    let at = |line: &&str| line.split_whitespace().nth(1).unwrap().to_owned();
    let seqs: Vec<String> = rows.iter().map(at).collect();
    let last = rows[4].split_whitespace().nth(1).unwrap();
    assert_eq!(seqs, ["1", "2", "3", "2", last, "1"]);
    assert!(rows[4].ends_with("phase completed") && rows[0].ends_with("phase running"), "{rows:?}");
    assert!(error(&output).contains("there is no such row"), "{}", error(&output));
    assert!(text.contains("started") && text.contains("✔ order") || text.contains("order"), "{text}");
}

/// The sagas of a file, this many of them, each under a key of its own.
fn multiplied(export: &Export, count: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = ExportWriter::begin(&mut file, wall_clock(), false).unwrap();
    export.definitions.iter().for_each(|row| writer.definition(row).unwrap());
    // Chance goes by the saga's id: under another one a retry would fall on another moment.
    let has_retries = |fact: &Fact| matches!(fact, Fact::RetryDue { .. } | Fact::Resent { .. });
    let is_without = |saga: &&Exported| !saga.journal.iter().flat_map(|row| &row.facts).any(has_retries);
    let sagas: Vec<&Exported> = export.sagas.iter().filter(is_without).collect();
    assert!(sagas.len() > 3);
    for (number, saga) in (0..count).zip(sagas.into_iter().cycle()) {
        let (mut row, mut journal) = (saga.row.clone(), saga.journal.clone());
        row.business_key = format!("copy-{number}").into();
        let Fact::Started { business_key, trigger, .. } = &mut journal[0].facts[0] else { panic!("a beginning") };
        business_key.clone_from(&row.business_key);
        row.id = saga_id(&row.definition_name, &row.business_key, trigger.timestamp);
        writer.saga(&row, &journal).unwrap();
    }
    writer.end().unwrap();
    file
}

async fn many_sagas_are_decided_again_and_nothing_is_sent_or_written(count: usize) {
    let busy = at_rest().await;
    let exported = sagabus(Some(&busy.database.url), &["replay", "export", "--reveal", "--reason", "a test"]);
    let export = read(BufReader::new(exported.stdout.as_slice())).unwrap();
    let file = Scratch::with("many", multiplied(&export, count));
    let lab = TestDatabase::migrated("replay_many").await;
    let url = Some(lab.url.as_str());
    assert_eq!(code(&sagabus(url, &["replay", "import", file.path()])), 0);
    let before = sums(&lab).await;
    let limit = count.to_string();
    // No Kafka is configured: there is nobody to send to.
    let run = || sagabus(url, &["replay", "what-if", "--definition", TRADE, "--limit", &limit, "--output", "json"]);
    let (first, second) = (json(&run()), json(&run()));
    assert_eq!((&first["same"], &first["digest"]), (&count.into(), &second["digest"]));
    assert_eq!(code(&sagabus(url, &["replay", "verify"])), 0);
    assert_eq!(sums(&lab).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sagas_are_decided_again_and_nothing_is_sent_or_written() {
    many_sagas_are_decided_again_and_nothing_is_sent_or_written(1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes: make volume"]
async fn a_hundred_thousand_sagas_are_decided_again_and_nothing_is_sent_or_written() {
    many_sagas_are_decided_again_and_nothing_is_sent_or_written(100_000).await;
}
