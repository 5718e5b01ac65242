//! Every input that the fuzzer kept (`fuzz/corpus`), and neighbours of each, hold what `fuzz/src` says of them.

use std::panic::catch_unwind;
use std::path::Path;

use fastrand::Rng;

#[expect(unreachable_pub, reason = "it is the root of a package of its own")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// Neighbours of each input, drawn from the input's place: the same in every run.
const NEIGHBOURS: u64 = 30;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new("fuzz/corpus").join(name);
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 5, "{} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn replay(name: &str) {
    targets::ignore_foreign_panics();
    let (_, target) = targets::TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let kept = corpus(name);
    for (place, input) in (0_u64..).zip(&kept) {
        hold(name, target, input);
        let mut chance = Rng::with_seed(place);
        for _ in 0..NEIGHBOURS {
            hold(name, target, &neighbour(&mut chance, input, &kept));
        }
    }
}

fn hold(name: &str, target: fn(&[u8]), input: &[u8]) {
    if catch_unwind(|| target(input)).is_err() {
        panic!("target {name} does not hold for b\"{}\"", input.escape_ascii());
    }
}

/// The input with one to four changes of the kinds that the fuzzer makes.
fn neighbour(chance: &mut Rng, input: &[u8], kept: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..chance.usize(1..5) {
        let from = chance.usize(0..=bytes.len());
        let to = chance.usize(from..=bytes.len().min(from + 32));
        match chance.u8(0..6) {
            0 => drop(bytes.drain(from..to)),
            1 => bytes.insert(from, chance.u8(..)),
            2 if from < bytes.len() => bytes[from] ^= 1 << chance.u8(0..8),
            3 => {
                let again = bytes[from..to].repeat(chance.usize(1..40));
                bytes.splice(from..from, again);
            }
            4 => {
                let words = [
                    &b"\0"[..],
                    b"-1",
                    b"65535",
                    b"18446744073709551615",
                    b"1e999",
                    b"null",
                    b"\n",
                    b"\"",
                    b"${",
                    b"\xff",
                ];
                bytes.splice(from..to, chance.choice(words).unwrap_or_default().iter().copied());
            }
            _ => {
                let other = chance.choice(kept).map_or(&[][..], Vec::as_slice);
                let at = chance.usize(0..=other.len());
                let part = &other[at..other.len().min(at + 64)];
                bytes.splice(from..to, part.iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn every_kept_definition_holds_and_its_neighbours_do() {
    replay("definitions");
}

#[test]
fn every_kept_expression_holds_and_its_neighbours_do() {
    replay("expressions");
}

#[test]
fn every_kept_id_holds_and_its_neighbours_do() {
    replay("ids");
}

#[test]
fn every_kept_trigger_and_answer_holds_and_its_neighbours_do() {
    replay("inputs");
}

#[test]
fn every_kept_journal_holds_and_its_neighbours_do() {
    replay("journals");
}

#[test]
fn every_kept_record_holds_and_its_neighbours_do() {
    replay("records");
}
