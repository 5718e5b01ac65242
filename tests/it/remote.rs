//! The command line at a server: every verb both ways on one database, straight and over HTTP, and what is printed compared, but for how
//! long ago something was; and whatever may stand between the two.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};

use sagabus::core::Action;
use sagabus::engine::wall_clock;
use sagabus::operations::Role;
use sagabus::wire::Received;
use tokio::task::JoinSet;

use super::cli::{code, error, out};
use super::support::listening::Listening;
use super::support::participants::Behaviour;
use super::support::world::trigger_data;
use super::verify::Busy;

const TRIGGERS: &str = "orders.events";
const PLACED: [(&str, Option<&[u8]>); 2] = [("ce_type", Some(b"order.accepted")), ("ce_id", Some(b"t1"))];
/// As the audit names who has the token.
const WHO: &str = "token:admin";

/// `sagabus` without anything of this process's environment that says where to ask.
fn sagabus(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sagabus"));
    command.args(arguments).env("NO_COLOR", "1").env("COLUMNS", "100").stdin(Stdio::null());
    for name in ["KAFKA", "DATABASE_URL", "SERVER", "TOKEN", "PROFILE", "WHO"] {
        command.env_remove(format!("SAGABUS_{name}"));
    }
    command
}

pub(super) fn at_server(server: &str, token: &str, arguments: &[&str]) -> Command {
    let mut command = sagabus(arguments);
    command.env("SAGABUS_SERVER", server).env("SAGABUS_TOKEN", token);
    command
}

/// Which way a verb is asked for.
#[derive(Clone, Copy, Debug)]
enum Way {
    Straight,
    Server,
}

/// Trades of which some are stuck at undoing their clearing, beside them records that were put aside.
struct Both {
    busy: Busy,
    listening: Listening,
    _worker: JoinSet<()>,
}

impl Both {
    async fn begin(name: &str) -> Self {
        let script = |command: &Received| match (command.key.starts_with("bad"), &*command.step, command.action) {
            (true, "risk", Action::Do) | (true, "clearing", Action::Undo) => Behaviour::Fails,
            _ => Behaviour::Answers,
        };
        let busy = Busy::start(name, Box::new(script)).await;
        for key in ["bad-0", "bad-1", "bad-2", "bad-3", "bad-4", "bad-5", "good-0", "good-1"] {
            busy.trigger(key);
        }
        for poison in ["1", "{\"orderId\":7}", "2", "3"] {
            busy.world.broker.publish_raw(TRIGGERS, Some(poison.as_bytes()), Some(poison.as_bytes()), &PLACED);
        }
        let mut worker = JoinSet::new();
        worker.spawn(sagabus::operations::work_on_jobs(busy.database.url.clone()));
        let listening = Listening::guarded(&busy.database).await;
        let mut both = Self { busy, listening, _worker: worker };
        both.until("SELECT count(*) FROM saga WHERE phase = 2", 6).await;
        both.until("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL", 2).await;
        both.until("SELECT count(*) FROM parked_message", 4).await;
        both
    }

    async fn until(&mut self, statement: &str, count: i64) {
        let until = wall_clock().plus_millis(30_000);
        while self.busy.database.count(statement).await < count {
            assert!(wall_clock() < until, "{statement}: {count}");
            self.busy.turn().await;
        }
    }

    fn command(&self, way: Way, arguments: &[&str]) -> Command {
        match way {
            Way::Straight => {
                let mut command = sagabus(arguments);
                command.env("SAGABUS_DATABASE_URL", &self.busy.database.url).env("SAGABUS_WHO", WHO);
                command
            }
            Way::Server => {
                at_server(&format!("http://{}", self.listening.address), self.listening.of(Role::Admin), arguments)
            }
        }
    }

    /// The same both ways, while nothing moves but the clock.
    fn same(&self, line: &str) -> Output {
        let words: Vec<&str> = line.split(' ').collect();
        let [straight, server] = [Way::Straight, Way::Server].map(|way| self.command(way, &words).output().unwrap());
        // A dry run tells the id that its action would have, which is another one each time.
        let shown = |output: &Output| {
            let text = without_ages(&told(output));
            if line.contains("--dry-run") { without_ids(&text) } else { text }
        };
        assert_eq!(shown(&straight), shown(&server), "{line}");
        straight
    }

    /// Asks for something while the engine is at work.
    async fn act(&mut self, way: Way, line: &[&str]) -> Output {
        let mut command = self.command(way, line);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            self.busy.turn().await;
        }
        child.wait_with_output().unwrap()
    }

    /// Does the same to two of a kind, to one straight and to the other at the server: what is printed is the same but for their names.
    async fn twins(&mut self, line: &str, [one, other]: [&str; 2]) -> Output {
        let words = |name: &str| -> Vec<String> { line.split(' ').map(|word| word.replace("ONE", name)).collect() };
        let (a, b) = (words(one), words(other));
        let mut printed = Vec::new();
        for (way, words, name) in [(Way::Straight, a, one), (Way::Server, b, other)] {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let output = self.act(way, &[words.as_slice(), &["--reason", "INC-7"]].concat()).await;
            let plain = without_ids(&(out(&output) + &error(&output)));
            // A number is marked where it stands as an id; how far a job is by now is none of the command line's.
            let marked = if name.len() == 1 { format!(" {name}   ") } else { name.to_owned() };
            let plain = match plain.replace(&marked, "ONE") {
                text if text.contains(" applied, ") => without_progress(&text),
                text => text,
            };
            printed.push(((code(&output), plain), output));
        }
        assert_eq!(printed[0].0, printed[1].0, "{line}");
        printed.remove(0).1
    }
}

fn told(output: &Output) -> String {
    format!("exit {}\n{}{}", code(output), out(output), error(output))
}

/// A job without how many of its sagas are applied, refused and failed by now.
fn without_progress(text: &str) -> String {
    let is_count = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    text.split(' ').filter(|word| !is_count(word)).collect::<Vec<_>>().join(" ")
}

/// Without how long something takes by now, and without what else is moved by it in a table.
pub(super) fn without_ages(text: &str) -> String {
    let is_age = |word: &&str| {
        let word = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        word.starts_with(|letter: char| letter.is_ascii_digit()) && word.ends_with(['s', 'm', 'h'])
    };
    let line = |line: &str| line.split_ascii_whitespace().filter(|word| !is_age(word)).collect::<Vec<_>>().join(" ");
    text.lines().map(|text| line(text) + "\n").collect()
}

/// What is made anew each time: ids, hashes and moments.
pub(super) fn without_ids(text: &str) -> String {
    let is_made = |word: &str| {
        word.len() >= 16
            && word.bytes().filter(u8::is_ascii_digit).count() > 4
            && word.bytes().all(|byte| byte.is_ascii_hexdigit() || b"-:.TZ".contains(&byte))
    };
    let words = text.split_inclusive(|letter: char| !(letter.is_ascii_alphanumeric() || "-:.".contains(letter)));
    words
        .map(
            |word| {
                if is_made(word.trim_end_matches(|end: char| !end.is_ascii_alphanumeric())) { "MADE " } else { word }
            },
        )
        .collect()
}

/// Verbs that only look or try, each with its exit code.
const LOOKING: [(&str, i32); 73] = [
    ("find bad-0", 0),
    ("find bad-0 --output json", 0),
    ("find ID", 0),
    ("find orders.events/0/0", 0),
    ("find nobody", 3),
    ("list", 0),
    ("list --time-format iso", 0),
    ("list --limit 3 --output name", 0),
    ("list --where phase=stuck --where key=bad-* --where started-after=1h --output jsonl", 0),
    ("list --where code=NO_SUCH --output json", 0),
    ("count", 0),
    ("count --where started-before=1h --output json", 0),
    ("show bad-0", 0),
    ("show ID --time-format iso", 0),
    ("show bad-0 --output json", 0),
    ("show good-0 --definition trade-settlement", 0),
    ("show good-0 --definition other", 3),
    ("show nobody", 3),
    ("explain bad-0", 0),
    ("explain bad-0 --output json", 0),
    ("explain good-0", 0),
    ("history bad-0", 0),
    ("history bad-0 --failed --reverse --output jsonl", 0),
    ("history bad-0 --output json", 0),
    ("history good-0 --follow --output jsonl", 0),
    ("history good-0 --follow --output json", 2),
    ("graph bad-0", 0),
    ("graph bad-0 --format dot", 0),
    ("graph bad-0 --format mermaid", 0),
    ("timeline bad-0", 0),
    ("timeline good-0 --output json", 0),
    ("stuck", 0),
    ("stuck --limit 2 --output json", 0),
    ("failures", 0),
    ("failures --output json", 0),
    ("failures show GROUP", 0),
    ("failures show GROUP --output json", 0),
    ("failures show G000000", 3),
    ("diff bad-0 good-0", 0),
    ("diff bad-0 bad-1 --output json", 0),
    ("watch good-0", 0),
    ("watch good-0 --output jsonl", 0),
    ("watch bad-0 --wait 1ms --time-format iso", 124),
    ("parked list", 0),
    ("parked list --limit 1 --output json", 0),
    ("parked list --where code=no-json --where parked-after=1h --state all", 0),
    ("parked show 1", 0),
    ("parked show 1 --output json", 0),
    ("parked show 999", 3),
    ("parked redrive 1 2 --dry-run", 0),
    ("parked redrive 999 --dry-run", 3),
    ("parked redrive --where topic=orders.events --dry-run", 0),
    ("parked redrive --why malformed --force --limit 2 --dry-run --output json", 0),
    ("parked redrive --key nobody --dry-run", 3),
    ("parked redrive --why malformed --where parked-after=1h", 2),
    ("parked discard --why malformed --dry-run --output json", 0),
    ("retry bad-0 clearing --dry-run --expect-seq SEQ", 0),
    ("retry bad-0 clearing --dry-run --expect-seq SEQ --output json", 0),
    ("cancel bad-0 --dry-run", 4),
    ("cancel bad-0 --dry-run --output json", 4),
    ("resume bad-0 --dry-run --expect-seq 1", 4),
    ("resolve bad-0 clering --as undone --dry-run", 2),
    ("retry --where phase=paused --dry-run", 3),
    ("plan list", 0),
    ("plan show p7", 3),
    ("plan approval", 0),
    ("tokens list", 0),
    ("locks", 0),
    ("retention show", 0),
    ("retention show --output jsonl", 0),
    ("retention run --keep 30d --topics-hold 7d --dry-run --output json", 0),
    ("retention run --keep 7d --topics-hold 14d --dry-run", 4),
    ("audit list --limit 2 --output json", 0),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_that_looks_or_tries_prints_the_same_both_ways() {
    let both = Both::begin("remote_looking").await;
    let json = |line: &str| -> serde_json::Value { serde_json::from_slice(&both.same(line).stdout).unwrap() };
    let id = json("show bad-0 --output json")["id"].as_str().unwrap().to_owned();
    let group = json("failures --output json")[0]["id"].as_str().unwrap().to_owned();
    let seq = json("history bad-0 --output json").as_array().unwrap().len().to_string();
    for (line, exit) in LOOKING {
        let line = line.replace("GROUP", &group).replace("ID", &id).replace("SEQ", &seq);
        let printed = both.same(&line);
        assert_eq!(code(&printed), exit, "{line}: {}", told(&printed));
    }
    assert_eq!(both.busy.database.count("SELECT count(*) FROM operation").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_that_changes_something_does_and_prints_the_same_both_ways() {
    let mut both = Both::begin("remote_acting").await;
    let done = both.twins("retry ONE clearing --yes", ["bad-0", "bad-1"]).await;
    assert_eq!(code(&done), 0, "{}", told(&done));
    both.until("SELECT count(*) FROM saga WHERE phase = 2", 6).await;
    for (line, exit) in [
        ("resume ONE --expect-seq 1 --yes", 4),
        ("cancel ONE --yes", 4),
        ("resolve ONE clering --as undone --yes", 2),
        ("complete ONE risk --reply {\"a\": --yes", 2),
        ("resolve ONE clearing --as undone --yes --output json", 0),
    ] {
        let printed = both.twins(line, ["bad-0", "bad-1"]).await;
        assert_eq!(code(&printed), exit, "{line}: {}", told(&printed));
    }
    both.until("SELECT count(*) FROM saga WHERE finished_at IS NOT NULL", 4).await;
    let lines = both.same("diff bad-0 bad-1 --output json");
    let lines: Vec<serde_json::Value> = serde_json::from_slice(&lines.stdout).unwrap();
    assert!(lines.iter().all(|line| line["in"] == "both"), "{lines:?}");

    let ids: serde_json::Value = serde_json::from_slice(&both.same("parked list --output json").stdout).unwrap();
    let id = |place: usize| ids[place]["id"].to_string();
    let pair = [id(0), id(1)];
    let pair = [pair[0].as_str(), pair[1].as_str()];
    let again = both.twins("parked redrive ONE --yes", pair).await;
    assert_eq!(code(&again), 4, "it is put aside again: {}", told(&again));
    let file = std::env::temp_dir().join(format!("sagabus-mended-{}", std::process::id()));
    for (parked, key) in pair.iter().zip(["mended-0", "mended-1"]) {
        std::fs::write(&file, trigger_data(key).get()).unwrap();
        let way = if *parked == pair[0] { Way::Straight } else { Way::Server };
        let edit = ["parked", "edit", parked, "--file", file.to_str().unwrap(), "--header", "x=y", "--no-header", "z"];
        let edited =
            both.act(way, &[edit.as_slice(), &["--yes", "--reason", "INC-7", "--output", "json"]].concat()).await;
        assert_eq!(code(&edited), 0, "{}", told(&edited));
        let edited: serde_json::Value = serde_json::from_slice(&edited.stdout).unwrap();
        assert_eq!((edited[0]["id"].to_string().as_str(), &edited[0]["verdict"]), (*parked, &"applied".into()));
    }
    std::fs::remove_file(file).unwrap();
    both.until("SELECT count(*) FROM saga WHERE business_key IN ('mended-0', 'mended-1')", 2).await;
    let pair = [id(2), id(3)];
    let missing = both.twins("parked discard ONE 999 --yes", [&pair[0], &pair[1]]).await;
    assert_eq!(code(&missing), 3, "and none is discarded: {}", told(&missing));
    let gone = both.twins("parked discard ONE --yes", [&pair[0], &pair[1]]).await;
    assert_eq!(code(&gone), 0, "{}", told(&gone));
    let again = both.twins("parked discard ONE --yes --output json", [&pair[0], &pair[1]]).await;
    assert_eq!(code(&again), 5, "somebody else did: {}", told(&again));

    let made = both.twins("tokens create ONE --role viewer", ["one", "other"]).await;
    assert!(out(&made).starts_with("sagabus_"), "{}", told(&made));
    both.twins("tokens revoke ONE", ["one", "other"]).await;
    assert_eq!(code(&both.twins("tokens revoke ONE", ["nobody", "nobody"]).await), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_are_made_applied_and_watched_the_same_both_ways() {
    let mut both = Both::begin("remote_plans").await;
    let names = std::env::temp_dir().join(format!("sagabus-names-{}", std::process::id()));
    let by_name = format!("retry --file {}", names.display());
    std::fs::write(&names, "bad-4\n\nnobody\n").unwrap();
    let wrong = both.same(&format!("{by_name} --dry-run"));
    assert!(code(&wrong) == 3 && error(&wrong).contains("line 3: there is no saga nobody"), "{}", told(&wrong));
    std::fs::write(&names, "bad-4\n\n bad-5\n").unwrap();
    both.same("resolve --where phase=stuck --where key=bad-* --step clearing --as undone --dry-run --output json");
    assert_eq!(code(&both.same("retry --where phase=stuck --yes")), 2);
    for (way, line) in [
        (Way::Straight, "resolve --where phase=stuck --where key=bad-* --step clearing --as undone"),
        (Way::Server, "resolve --where phase=stuck --where key=bad-* --step clearing --as undone"),
        (Way::Straight, by_name.as_str()),
        (Way::Server, by_name.as_str()),
    ] {
        let planned = both.act(way, &line.split(' ').collect::<Vec<_>>()).await;
        assert!(code(&planned) == 0 && error(&planned).contains("nothing is done yet"), "{}", told(&planned));
    }
    std::fs::remove_file(names).unwrap();
    let plans: serde_json::Value = serde_json::from_slice(&both.same("plan list --output json").stdout).unwrap();
    assert_eq!((&plans[0]["hash"], &plans[2]["hash"]), (&plans[1]["hash"], &plans[3]["hash"]), "the same plans");
    for (line, exit) in [
        ("plan show p1", 0),
        ("plan show p2 --output json", 0),
        ("plan show p3 --limit 1", 0),
        ("plan list --limit 2", 0),
        ("jobs list", 0),
        ("apply p1 --dry-run", 0),
        ("apply p1 --reason x", 2),
        ("apply p9 --reason x --yes", 3),
        ("jobs pause p1 --dry-run", 4),
    ] {
        let printed = both.same(line);
        assert_eq!(code(&printed), exit, "{line}: {}", told(&printed));
    }
    let applied = both.twins("apply ONE --rate 1/m --ramp --max 2 --yes --output json", ["p1", "p2"]).await;
    assert_eq!(code(&applied), 0, "{}", told(&applied));
    for line in ["jobs pause ONE --yes", "jobs resume ONE --yes", "jobs cancel ONE --yes", "jobs cancel ONE --yes"] {
        both.twins(line, ["p1", "p2"]).await;
    }
    for line in ["plan approval --minimum-sagas 50 --yes", "plan approval --minimum-sagas 4294967295 --yes"] {
        both.twins(line, ["none", "none"]).await;
    }
    assert_eq!(out(&both.same("plan approval")), "plans of more than 50 sagas are applied by a second person\n");
    let told = "SELECT count(*) FROM audit WHERE verb = 'approval' AND message LIKE 'minimum % -> 50 sagas' AND who = 'token:admin'";
    assert_eq!(both.busy.database.count(told).await, 2, "in the name of who has the token");
    for line in ["jobs list", "jobs list --output json", "jobs watch p1", "jobs watch p2 --output json", "plan show p2"]
    {
        both.same(line);
    }
}

/// Without the number of the message that stands for others.
fn without_samples(text: &str) -> String {
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((rest, number)) if rest.ends_with("such as") && is_number(number) => rest.to_owned(),
        Some((rest, _)) if rest.ends_with("\"sample\":") => rest.to_owned(),
        Some(_) | None => line.to_owned(),
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_parked_messages_are_swept_the_same_both_ways() {
    let mut both = Both::begin("remote_sweeps").await;
    let keys = [("a", Way::Straight), ("b", Way::Server)];
    for (key, _) in keys {
        for poison in ["4", "5", "6"] {
            both.busy.world.broker.publish_raw(TRIGGERS, Some(key.as_bytes()), Some(poison.as_bytes()), &PLACED);
        }
    }
    both.until("SELECT count(*) FROM parked_message", 10).await;
    for (key, _) in keys {
        let mended = trigger_data(&format!("swept-{key}"));
        let mend = format!(
            "UPDATE parked_message SET value = convert_to('{}', 'UTF8') WHERE key = '{key}' AND value = '4'",
            mended.get()
        );
        both.busy.database.run(&mend).await;
    }
    for (line, exit) in [
        ("parked redrive --rate 100/s --yes --key", 5),
        ("parked redrive --rate 100/s --yes --output json --key", 4),
        ("parked redrive --force --rate 100/s --yes --key", 4),
        ("parked redrive --yes --key", 4),
        ("parked discard --yes --key", 0),
        ("parked discard --yes --key", 3),
    ] {
        let mut printed = Vec::new();
        for (key, way) in keys {
            let words: Vec<&str> = line.split(' ').chain([key, "--reason", "INC-7"]).collect();
            printed.push(both.act(way, &words).await);
        }
        let [straight, server] = [0, 1].map(|at| without_samples(&told(&printed[at])));
        assert_eq!(straight, server, "{line}");
        assert_eq!(code(&printed[0]), exit, "{line}: {straight}");
    }
    for (table, count) in [("saga WHERE business_key LIKE 'swept-%'", 2), ("audit WHERE verb = 'discard'", 4)] {
        let count_of = format!("SELECT count(*) FROM {table}");
        assert_eq!(both.busy.database.count(&count_of).await, count, "{table}");
    }
}

/// Who is not let, and what no server does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_let_and_what_no_server_does_is_told_with_its_exit_code() {
    let both = Both::begin("remote_refused").await;
    let server = format!("http://{}", both.listening.address);
    let said = |token: &str, line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let output = at_server(&server, token, &words).output().unwrap();
        (code(&output), error(&output))
    };
    let viewer = both.listening.of(Role::Viewer);
    for (token, line, exit, word) in [
        ("", "list", 1, "hint: set SAGABUS_TOKEN"),
        ("sagabus_77", "show bad-0", 1, "nobody has this token"),
        (viewer, "retry bad-0 --reason x --yes", 1, "this needs the role operator"),
        (viewer, "tokens list", 1, "this needs the role admin"),
        (viewer, "verify", 2, "no server does this: verify"),
        (viewer, "replay verify", 2, "no server does this: replay"),
        (viewer, "topics diff --definitions sagas", 2, "no server does this: topics"),
        (viewer, "audit export", 2, "no server does this: audit export"),
        (viewer, "plan approval --minimum-sagas 5 --reason x --yes", 1, "this needs the role admin"),
        (viewer, "lag", 2, "no server does this: lag"),
        (viewer, "start trade-settlement --data {} --key k", 2, "no server does this: start with --key"),
        (viewer, "parked discard --why malformed --reason x --yes", 1, "this needs the role operator"),
        (viewer, "parked redrive --why malformed --limit 10001 --dry-run", 2, "limit is 1 to 10000"),
        (viewer, "show bad-0 --reveal --reason x", 2, "than the token may see"),
        (viewer, "list --profile production", 2, "both a server and a profile are said"),
        (viewer, "stuck --limit 5000", 2, "limit is 1 to 1000"),
    ] {
        let (code, error) = said(token, line);
        assert!(code == exit && error.contains(word), "{line}: {code} {error}");
        assert!(token.len() < 10 || !error.contains(token), "{line}: {error}");
    }
    assert_eq!(said(viewer, "show bad-0").0, 0);
    for away in ["http://127.0.0.1:1", "https://127.0.0.1:1"] {
        let output = at_server(away, viewer, &["list"]).output().unwrap();
        assert!(code(&output) == 6 && error(&output).contains("cannot be asked"), "{}", told(&output));
    }
    let in_clear = at_server("http://sagabus.example.com", viewer, &["list"]).output().unwrap();
    assert!(
        code(&in_clear) == 2 && error(&in_clear).contains("neither https nor on this machine"),
        "{}",
        told(&in_clear)
    );

    // A profile: its server, and its token from a file or a command.
    let folder = std::env::temp_dir().join(format!("sagabus-config-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("sagabus")).unwrap();
    std::fs::write(folder.join("token"), format!("{viewer}\n")).unwrap();
    let token = folder.join("token").display().to_string();
    let profiles = format!(
        "profiles:\n  file: {{server: {server}, tokenFile: {token}}}\n  command: {{server: {server}, tokenCommand: [cat, {token}]}}\n"
    );
    std::fs::write(folder.join("sagabus/config.yaml"), profiles).unwrap();
    for name in ["file", "command"] {
        let mut command = sagabus(&["list", "--output", "name", "--profile", name]);
        let output = command.env("XDG_CONFIG_HOME", &folder).output().unwrap();
        assert!(code(&output) == 0 && out(&output).lines().count() == 8, "{name}: {}", told(&output));
    }
    let output = sagabus(&["list", "--context", "other"]).env("XDG_CONFIG_HOME", &folder).output().unwrap();
    assert!(code(&output) == 2 && error(&output).contains("there are: command, file"), "{}", told(&output));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Something that gives every request this answer.
fn answers(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (mut stream, mut head) = (stream, [0; 4_096]);
            _ = stream.read(&mut head);
            _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn an_older_server_and_what_is_none_are_told_apart() {
    let problem = |status: &str, body: &str| -> &'static str {
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\nconnection: close\r\n");
        String::leak(format!("{head}content-length: {}\r\n\r\n{body}", body.len()))
    };
    let no_route = problem("404 Not Found", r#"{"detail": "there is no such resource", "code": "not_found"}"#);
    let no_field = problem("400 Bad Request", r#"{"detail": "unknown field `timeFormat`", "code": "invalid_request"}"#);
    let not_there = problem("404 Not Found", r#"{"detail": "nothing is found by unknown field", "code": "not_found"}"#);
    let newer = problem("451 Other", r#"{"detail": "not here", "code": "elsewhere", "more": [1]}"#);
    let proxy =
        "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
    let moved =
        "HTTP/1.1 302 Found\r\nlocation: https://login.example/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let other = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 600\r\nconnection: close\r\n\r\n{";
    for (answer, line, exit, word) in [
        (no_route, "failures show G1", 2, "is it of another version?"),
        (no_route, "show order-1", 2, "cannot do this: there is no such resource"),
        (no_field, "find order-1", 2, "is it of another version?"),
        (not_there, "find order-1", 3, "nothing is found by unknown field"),
        (newer, "list", 1, "not here"),
        (proxy, "list", 6, "answers 502 Bad Gateway, and not as sagabus does"),
        (moved, "list", 1, "points to https://login.example/"),
        (other, "list", 1, "what this version cannot read"),
        (broken, "list", 6, "cannot be asked"),
    ] {
        let server = format!("http://{}", answers(answer));
        let output = at_server(&server, "t", &line.split(' ').collect::<Vec<_>>()).output().unwrap();
        assert!(code(&output) == exit && error(&output).contains(word), "{line}: {}", told(&output));
    }
}
