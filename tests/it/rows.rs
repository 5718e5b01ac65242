//! What a journal row is, byte for byte: nothing in it has a name, so that whatever is written once has to be read by its places for ever.
//!
//! `tests/golden/rows.txt` has a fact on each line, as people read it and as it is stored. `UPDATE_GOLDEN=1` writes the stored side anew:
//! lines that are there must not change, new ones come by hand.

use std::fmt::Write as _;

use sagabus::core::{Fact, Timestamp, Transition, Trigger};

const GOLDEN: &str = "tests/golden/rows.txt";

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn row(text: &str) -> Transition {
    let fact: Fact = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    Transition { now: NOW, facts: vec![fact] }
}

/// What may stand at this place of a fact, as the refusal of something else lists it.
fn variants(text: &str) -> Vec<String> {
    let refusal = serde_json::from_str::<Fact>(text).expect_err("it is none").to_string();
    let listed = refusal.split("expected ").nth(1).unwrap_or_else(|| panic!("{refusal}"));
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn rows_never_change_from_version_to_version() {
    let kept = std::fs::read_to_string(GOLDEN).unwrap();
    let facts: Vec<&str> = kept.lines().map(|line| line.split("  ").next().unwrap()).collect();
    let mut now = String::new();
    for fact in &facts {
        let row = row(fact);
        let stored = row.encode();
        assert_eq!(Transition::decode(&stored).unwrap(), row, "{fact}");
        writeln!(now, "{fact}  {}", const_hex::encode(stored)).unwrap();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &now).unwrap();
        return;
    }
    assert!(kept == now, "{GOLDEN} is not what is written now: rows that are stored could not be read any more");
}

#[test]
fn every_word_of_a_row_is_among_those_that_never_change() {
    let kept = std::fs::read_to_string(GOLDEN).unwrap();
    let operated = |verb: &str| {
        format!(
            r#"{{"operated":{{"operation":{{"id":"0199d3a0-7c1e-7b52-9a41-6f0c2d9e11aa","verb":{verb},"who":"a","reason":"b"}}}}}}"#
        )
    };
    let places = [
        r#"{"nothing":{}}"#.to_owned(),
        operated(r#"{"nothing":{}}"#),
        operated(r#"{"resolve":{"step":"a","outcome":"nothing"}}"#),
        r#"{"phaseChanged":{"phase":"nothing"}}"#.to_owned(),
        r#"{"ready":{"step":0,"action":"nothing"}}"#.to_owned(),
        r#"{"turned":{"cause":"nothing"}}"#.to_owned(),
        r#"{"unblocked":{"step":0,"action":"do","kind":"nothing"}}"#.to_owned(),
        r#"{"progressed":{"step":0,"action":"do","attempt":1,"answer":{"id":"r","outcome":"nothing","data":1}}}"#
            .to_owned(),
    ];
    let words: Vec<String> = places.iter().flat_map(|place| variants(place)).collect();
    assert!(words.len() > 60, "the refusals list what may stand there: {words:?}");
    for word in words {
        assert!(kept.contains(&format!("\"{word}\"")), "{word}: add a line to {GOLDEN}");
    }
}

#[test]
fn a_trigger_is_found_by_its_place_within_its_row() {
    let kept = std::fs::read_to_string(GOLDEN).unwrap();
    let row = row(kept.lines().next().unwrap().split("  ").next().unwrap()).encode();
    let holds = |place| row.windows(9).any(|bytes| bytes == Trigger::stored_place(place));
    assert!(holds(("orders", 3, 17)));
    assert!(!holds(("orders", 3, 18)) && !holds(("orders", 4, 17)) && !holds(("order2", 3, 17)));
}

#[test]
fn a_row_of_another_format_is_refused_by_its_first_byte() {
    let stored = row(r#""wishRefused""#).encode();
    let refusal = |bytes: &[u8]| Transition::decode(bytes).unwrap_err().to_string();
    let other = [&[stored[0] + 1], &stored[1..]].concat();
    assert_eq!(refusal(&other), "facts cannot be read: rows of format 2 are of another version");
    assert!(refusal(&[]).contains("an empty row"));
    assert!(refusal(&[&stored[..], b"\0"].concat()).contains("more bytes"));
}
