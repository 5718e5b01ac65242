//! The linter's rules that need no graph: names, clocks, keys, and what an expression may read at its step.

use crate::core::Action;

use super::expression::Root;
use super::graph::Graph;

/// True for a saga's name: `[a-z0-9][a-z0-9-]{0,62}`, safe in topics, sources and labels.
pub(super) fn is_saga_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(allowed)
}

/// True for a step's name: `[A-Za-z][A-Za-z0-9_]{0,62}`, so that expressions can say `steps.<name>.reply`.
pub(super) fn is_step_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=63).contains(&name.len()) && name.as_bytes()[0].is_ascii_alphabetic() && name.bytes().all(allowed)
}

/// True for a topic's name as Kafka allows it.
pub(super) fn is_topic(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(allowed)
}

/// What an expression of `step` reads although it cannot exist then.
pub(super) fn unreadable(roots: &[Root], graph: &Graph, step: usize, action: Action, names: &[String]) -> Vec<String> {
    if roots.is_empty() {
        return Vec::new();
    }
    let ancestors = graph.ancestors(step);
    let mut found = Vec::new();
    for root in roots {
        let Root::Reply(name, place) = root else { continue };
        let is_own = place.at() == step;
        match action {
            Action::Do if is_own => {
                found.push(format!("the command of step {name} reads its own reply, which comes later"))
            }
            Action::Undo if is_own => {}
            Action::Do | Action::Undo if !ancestors[place.at()] => {
                found.push(format!(
                    "step {} reads the reply of step {name}, which need not be done before it",
                    names[step]
                ));
            }
            Action::Do | Action::Undo => {}
        }
    }
    found
}

/// The known key that was probably meant.
pub(super) fn did_you_mean(key: &str, known: &[&str]) -> Option<String> {
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), candidate))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map(|(_, candidate)| (*candidate).to_owned())
}
