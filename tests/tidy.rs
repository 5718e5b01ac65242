//! The rules of style that a test can check. Each checker is a function over a path and a text, so that a test can show that it bites.

use std::fs;
use std::path::{Path, PathBuf};

/// Files that may be longer; the list may only shrink.
const LONG: [&str; 0] = [];
const SOURCE_LINES: usize = 400;
const TEST_LINES: usize = 600;

/// The code of the fuzz targets, without what is built and found beside it.
const FUZZ: [&str; 2] = ["fuzz/src", "fuzz/targets"];

/// Which rings a ring may use. `core` is the bottom and open to all.
const ARROWS: [(&str, &[&str]); 15] = [
    ("core", &[]),
    ("definition", &[]),
    ("wire", &[]),
    ("store", &[]),
    ("bus", &["wire"]),
    ("dispatch", &["definition"]),
    ("engine", &["definition", "wire", "dispatch", "store", "bus"]),
    ("participant", &["wire", "bus"]),
    ("replay", &["definition", "wire", "store"]),
    ("operations", &["engine", "replay", "participant", "dispatch", "definition", "wire", "store", "bus"]),
    ("api", &["operations", "engine"]),
    ("cli", &["operations", "engine", "definition", "store", "api", "bus", "participant", "dev", "bench", "kit"]),
    ("dev", &["definition", "wire", "store", "bus", "dispatch", "engine", "participant", "replay", "operations"]),
    ("kit", &["definition", "wire", "bus", "engine", "operations"]),
    ("bench", &["definition", "wire", "store", "bus", "engine", "operations"]),
];

/// Crates that only some folders may name.
const CRATES: [(&str, &[&str]); 6] = [
    ("rdkafka", &["src/bus/kafka/", "src/dev/cluster.rs"]),
    ("sqlx", &["src/store/postgres/", "src/participant/", "src/dev/", "src/bench/"]),
    ("cel", &["src/definition/expression/"]),
    ("backoff", &["src/engine/reconnect.rs"]),
    ("axum", &["src/api/"]),
    ("ratatui", &["src/dev/screen.rs"]),
];

/// What `core` and `dispatch` may not know.
const IMPURE: [&str; 8] = ["tokio", "tracing", "sqlx", "rdkafka", "async ", "std::fs", "std::env", "std::net"];

fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::from(folder)];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).expect("a source file is text");
                found.push((path.display().to_string(), text));
            }
        }
    }
    assert!(!found.is_empty(), "no *.{extension} below {folder}");
    found.sort();
    found
}

fn ring(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("src/")?;
    Some(rest.split(['/', '.']).next().unwrap_or(rest))
}

fn check(rule: fn(&str, &str) -> Vec<String>, files: &[(String, String)]) {
    let broken: Vec<String> = files.iter().flat_map(|(path, text)| rule(path, text)).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Lines of a file without comments, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn length(path: &str, text: &str) -> Vec<String> {
    let most = if path.starts_with("tests/") { TEST_LINES } else { SOURCE_LINES };
    let lines = text.lines().count();
    if lines > most && !LONG.contains(&path) {
        vec![format!("{path}: {lines} lines, at most {most}: split by what changes together")]
    } else {
        Vec::new()
    }
}

fn head(path: &str, text: &str) -> Vec<String> {
    if text.starts_with("//!") {
        Vec::new()
    } else {
        vec![format!("{path}: begin with //! and say what part it plays")]
    }
}

fn arrows(path: &str, text: &str) -> Vec<String> {
    let Some(own) = ring(path) else { return Vec::new() };
    let Some((_, may)) = ARROWS.iter().find(|(ring, _)| *ring == own) else {
        return if matches!(own, "lib" | "main" | "defects") {
            Vec::new()
        } else {
            vec![format!("{path}: ring {own} is not in the table of arrows")]
        };
    };
    let uses = |line: &str, other: &str| {
        line.contains(&format!("crate::{other}::")) || line.contains(&format!("crate::{other};"))
    };
    code(text)
        .flat_map(|(at, line)| ARROWS.iter().map(move |(other, _)| (at, line, *other)))
        .filter(|(_, line, other)| *other != own && *other != "core" && !may.contains(other) && uses(line, other))
        .map(|(at, _, other)| format!("{path}:{at}: {own} may not use {other}"))
        .collect()
}

fn crates(path: &str, text: &str) -> Vec<String> {
    let foreign =
        |(name, homes): &(&'static str, &[&str])| !homes.iter().any(|home| path.starts_with(home)) && !name.is_empty();
    code(text)
        .flat_map(|(at, line)| {
            CRATES
                .iter()
                .filter(move |rule| foreign(rule) && line.contains(&format!("{}::", rule.0)))
                .map(move |rule| (at, rule))
        })
        .map(|(at, (name, homes))| format!("{path}:{at}: {name} belongs in {}", homes.join(", ")))
        .collect()
}

fn purity(path: &str, text: &str) -> Vec<String> {
    if !matches!(ring(path), Some("core" | "dispatch")) {
        return Vec::new();
    }
    let named = |(at, line): (usize, &str)| {
        IMPURE.iter().find(|word| line.contains(*word)).map(|word| format!("{path}:{at}: pure code names {word}"))
    };
    code(text).filter_map(named).collect()
}

fn replay_sends_nothing(path: &str, text: &str) -> Vec<String> {
    if ring(path) != Some("replay") {
        return Vec::new();
    }
    let reaches = |line: &str| ["Producer", "emit(", "KafkaBus", ".commit("].iter().any(|word| line.contains(word));
    code(text)
        .filter(|(_, line)| reaches(line))
        .map(|(at, _)| format!("{path}:{at}: the replay tool has no producer in reach"))
        .collect()
}

fn sql_in_strings(path: &str, text: &str) -> Vec<String> {
    let is_sql = |line: &str| {
        ["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE ", "\"CREATE ", "\"WITH "]
            .iter()
            .any(|word| line.contains(word))
    };
    code(text)
        .filter(|(_, line)| is_sql(line))
        .map(|(at, _)| format!("{path}:{at}: SQL belongs in a .sql file"))
        .collect()
}

fn leftovers(path: &str, text: &str) -> Vec<String> {
    let words = [
        concat!("FIX", "ME"),
        concat!("to", "do!("),
        concat!("X", "XX"),
        concat!("#[", "allow("),
        concat!("#![", "allow("),
        concat!("#[", "ignore]"),
    ];
    let found = |(at, line): (usize, &str)| {
        words.iter().find(|word| line.contains(*word)).map(|word| format!("{path}:{at}: {word}"))
    };
    text.lines().enumerate().map(|(at, line)| (at + 1, line)).filter_map(found).collect()
}

/// Texts of log lines: lower case, no full stop; values are fields.
fn log_texts(path: &str, text: &str) -> Vec<String> {
    let macros = ["tracing::info!(", "tracing::warn!(", "tracing::error!(", "tracing::debug!("];
    let mut broken = Vec::new();
    for (at, line) in code(text).filter(|(_, line)| macros.iter().any(|name| line.contains(name))) {
        let Some(said) = line.rsplit('"').nth(1) else { continue };
        if said.starts_with(char::is_uppercase) || said.ends_with('.') {
            broken.push(format!("{path}:{at}: log texts are lower case without a full stop: {said:?}"));
        }
    }
    broken
}

/// Names of the seeded defects that a line marks.
fn marks(line: &str) -> Vec<&str> {
    line.split("defect!(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn files_are_short() {
    check(length, &files("src", "rs"));
    check(length, &files("tests", "rs"));
    FUZZ.iter().for_each(|folder| check(length, &files(folder, "rs")));
}

#[test]
fn every_file_says_what_part_it_plays() {
    check(head, &files("src", "rs"));
    check(head, &files("tests", "rs"));
    FUZZ.iter().for_each(|folder| check(head, &files(folder, "rs")));
}

#[test]
fn arrows_between_rings_point_one_way() {
    check(arrows, &files("src", "rs"));
}

#[test]
fn crates_stay_where_they_belong() {
    check(crates, &files("src", "rs"));
}

#[test]
fn the_rules_are_pure() {
    check(purity, &files("src", "rs"));
}

#[test]
fn the_replay_tool_has_no_producer_in_reach() {
    check(replay_sends_nothing, &files("src", "rs"));
}

#[test]
fn sql_is_source_code_of_its_own() {
    check(sql_in_strings, &files("src", "rs"));
    let sources = files("src", "rs");
    for (path, text) in files("src", "sql") {
        assert!(text.starts_with("--"), "{path}: begin with a comment that says what it does");
        let name = Path::new(&path).file_name().expect("a file").to_string_lossy().into_owned();
        let uses = sources.iter().filter(|(_, source)| source.contains(&format!("{name}\")"))).count();
        assert_eq!(uses, 1, "{path}: included {uses} times, once is right");
    }
}

#[test]
fn every_seeded_defect_is_marked_once() {
    let sources = files("src", "rs");
    let found: Vec<&str> = sources.iter().flat_map(|(_, text)| code(text)).flat_map(|(_, line)| marks(line)).collect();
    for (name, what) in sagabus::defects::ALL {
        let count = found.iter().filter(|mark| **mark == name).count();
        assert_eq!(count, 1, "{name}: marked {count} times in src, once is right");
        assert!(what.ends_with('.'), "{name}: a sentence says what goes wrong");
    }
    assert!(marks("if x && !defect!(\"a\") || defect!(\"b\") {") == ["a", "b"]);
}

#[test]
fn nothing_is_left_for_later() {
    check(leftovers, &files("src", "rs"));
    check(leftovers, &files("tests", "rs"));
    FUZZ.iter().for_each(|folder| check(leftovers, &files(folder, "rs")));
}

#[test]
fn logs_are_lower_case_without_full_stops() {
    check(log_texts, &files("src", "rs"));
}

#[test]
fn migrations_are_numbered_without_holes() {
    let names: Vec<String> = files("migrations", "sql").into_iter().map(|(path, _)| path).collect();
    for (place, name) in names.iter().enumerate() {
        assert!(name.starts_with(&format!("migrations/{:04}_", place + 1)), "{name}: expected number {:04}", place + 1);
    }
}

#[test]
fn every_variable_is_in_the_example_of_the_environment() {
    let example = fs::read_to_string(".env.example").expect(".env.example is there");
    for (path, text) in files("src", "rs") {
        for rest in text.split("\"SAGABUS_").skip(1) {
            let name = format!("SAGABUS_{}", rest.split('"').next().unwrap_or_default());
            assert!(example.contains(&name), "{path}: {name} is not in .env.example");
        }
    }
}

#[test]
fn every_example_names_its_schema() {
    for (path, text) in files("sagas", "yaml") {
        assert!(text.starts_with("# yaml-language-server: $schema=../schemas/saga.v1.json"), "{path}");
    }
}

#[test]
fn each_rule_bites() {
    assert!(!length("src/x.rs", &"\n".repeat(SOURCE_LINES + 1)).is_empty());
    assert!(!head("src/x.rs", "use std;").is_empty());
    assert!(!arrows("src/core/x.rs", "use crate::store::Store;").is_empty());
    assert!(!arrows("src/replay/x.rs", "crate::engine::run()").is_empty());
    assert!(!arrows("src/newring/x.rs", "").is_empty());
    assert!(!crates("src/engine/x.rs", "use sqlx::Row;").is_empty());
    assert!(!purity("src/core/x.rs", "use tokio::time;").is_empty());
    assert!(!replay_sends_nothing("src/replay/x.rs", "use crate::bus::Producer;").is_empty());
    assert!(!sql_in_strings("src/x.rs", "let q = \"SELECT 1\";").is_empty());
    assert!(!leftovers("src/x.rs", &format!("// {}", concat!("FIX", "ME"))).is_empty());
    assert!(!log_texts("src/x.rs", "tracing::info!(a = 1, \"Started.\");").is_empty());
}
