//! What a journal row is, byte for byte: nothing in it has a name, so that whatever is written once has to be read by its places for ever.
//!
//! `tests/golden/rows.txt` has a fact on each line, as people read it and as it is stored. A new one is added as people read it, and
//! `UPDATE_GOLDEN=1` adds how it is stored; what is there never changes.

use std::fmt::Write as _;

use sagabus::core::{Fact, Timestamp, Transition, Trigger};

const GOLDEN: &str = "tests/golden/rows.txt";

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn row(text: &str) -> Transition {
    let fact: Fact = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    Transition { now: NOW, facts: vec![fact] }
}

/// A fact of the kept ones: as people read it, and as it is stored.
fn kept(text: &str) -> Vec<(&str, &str)> {
    text.lines().map(|line| line.split_once("  ").unwrap_or((line, ""))).collect()
}

/// What may stand at this place of a fact, as the refusal of something else lists it.
fn variants(text: &str) -> Vec<String> {
    let refusal = serde_json::from_str::<Fact>(text).expect_err("it is none").to_string();
    let listed = refusal.split("expected ").nth(1).unwrap_or_else(|| panic!("{refusal}"));
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn rows_never_change_from_version_to_version() {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    let mut written = String::new();
    for (fact, stored_once) in kept(&text) {
        let row = row(fact);
        let stored = row.encode();
        assert_eq!(Transition::decode(&stored).unwrap(), row, "{fact}");
        for cut in 0..stored.len() {
            assert!(Transition::decode(&stored[..cut]).is_err(), "{fact} cut at {cut}");
        }
        let hex = const_hex::encode(stored);
        assert!(
            stored_once.is_empty() || stored_once == hex,
            "{fact} was stored as {stored_once} and would not be read any more"
        );
        writeln!(written, "{fact}  {hex}").unwrap();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &written).unwrap();
    } else {
        assert!(text == written, "UPDATE_GOLDEN=1 adds how new lines are stored");
    }
}

#[test]
fn every_word_of_a_row_is_among_those_that_never_change() {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    let facts: Vec<&str> = kept(&text).into_iter().map(|(fact, _)| fact).collect();
    let operated = |verb: &str| {
        format!(
            r#"{{"operated":{{"operation":{{"id":"0199d3a0-7c1e-7b52-9a41-6f0c2d9e11aa","verb":{verb},"who":"a","reason":"b"}}}}}}"#
        )
    };
    // The member that the word belongs to, and a fact where it is none.
    let places = [
        ("", r#"{"nothing":{}}"#.to_owned()),
        ("verb", operated(r#"{"nothing":{}}"#)),
        ("outcome", operated(r#"{"resolve":{"step":"a","outcome":"nothing"}}"#)),
        ("phase", r#"{"phaseChanged":{"phase":"nothing"}}"#.to_owned()),
        ("action", r#"{"ready":{"step":0,"action":"nothing"}}"#.to_owned()),
        ("cause", r#"{"turned":{"cause":"nothing"}}"#.to_owned()),
        ("kind", r#"{"unblocked":{"step":0,"action":"do","kind":"nothing"}}"#.to_owned()),
        (
            "outcome",
            r#"{"progressed":{"step":0,"action":"do","attempt":1,"answer":{"id":"r","outcome":"nothing","data":1}}}"#
                .to_owned(),
        ),
    ];
    let mut words = 0;
    for (member, place) in &places {
        for word in variants(place) {
            let said = if member.is_empty() { String::new() } else { format!("\"{member}\":") };
            let forms = [format!("{said}\"{word}\""), format!("{said}{{\"{word}\"")];
            let is_kept = |fact: &&str| {
                forms.iter().any(|form| if said.is_empty() { fact.starts_with(form) } else { fact.contains(form) })
            };
            assert!(facts.iter().any(is_kept), "{member} {word}: add a line to {GOLDEN}");
            words += 1;
        }
    }
    assert!(words > 60, "the refusals list what may stand there: {words}");
}

#[test]
fn a_trigger_is_found_by_its_place_within_its_row() {
    let text = std::fs::read_to_string(GOLDEN).unwrap();
    let row = row(kept(&text)[0].0).encode();
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
