//! The linter's rules that need no graph: names, clocks, keys, and what an expression may read at its step.

use crate::core::{Action, Definition, limits};

use super::expression::Root;

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

/// True for a `ce_type`: a printable text of 1 to 1024 bytes.
pub(super) fn is_type(name: &str) -> bool {
    (1..=limits::KEY_BYTES).contains(&name.len()) && !name.chars().any(char::is_control) && name.trim() == name
}

/// What an expression of `step` reads although it cannot exist then.
pub(super) fn unreadable(
    roots: &[Root],
    ancestors: &[bool],
    step: usize,
    action: Action,
    names: &[String],
) -> Vec<String> {
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

/// Topics that cannot be one: what is sent there would come back as something else.
pub(super) fn mixed_topics(definition: &Definition) -> Vec<String> {
    let Definition { reply_topic, outcome_topic, trigger_topic, .. } = definition;
    let mut found = Vec::new();
    if outcome_topic == reply_topic {
        found.push(format!("outcomeTopic and replyTopic are both {reply_topic}"));
    }
    if outcome_topic == trigger_topic {
        found.push(format!("outcomeTopic and the trigger's topic are both {trigger_topic}"));
    }
    for step in definition.commanding() {
        if [reply_topic, outcome_topic].contains(&&step.command_topic) {
            found.push(format!("the commands of step {} go to {}, where others write", step.name, step.command_topic));
        }
    }
    found
}

/// The known key that was probably meant: one that begins so, or that is spelled alike.
pub fn did_you_mean(key: &str, known: &[&str]) -> Option<String> {
    if let Some(longer) = known.iter().find(|candidate| key.len() >= 3 && candidate.starts_with(key)) {
        return Some((*longer).to_owned());
    }
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), candidate))
        .filter(|(distance, _)| *distance <= 3)
        .min()
        .map(|(_, candidate)| (*candidate).to_owned())
}
