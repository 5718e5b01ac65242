//! What came in the course of a case: every answer that has to do with it, and the effects where there is a ledger. Pure.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::core::{Answer, Json, Outcome};
use crate::wire::{self, Attribute, Event, Malformed, Record};

use super::script::Name;

/// Who is who in a case: what a record on the reply topic is told by.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) commands: BTreeMap<Uuid, Name>,
    pub(super) sagas: BTreeMap<Uuid, usize>,
    pub(super) keys: BTreeMap<String, usize>,
}

/// A record on the reply topic that has to do with a case.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// The command that its `ce_causationid` names.
    pub(super) command: Option<Name>,
    /// The saga that its `ce_correlationid` names.
    pub(super) saga: Option<usize>,
    /// The saga whose key it has.
    pub(super) key: Option<usize>,
    /// True when it has a `ce_sagaoutcome`.
    pub(super) has_outcome: bool,
    /// What Sagabus reads, or why Sagabus would park it.
    pub(super) answer: Result<Answer, String>,
}

impl Heard {
    /// Reads a record; `None` when it has nothing to do with the case.
    pub(super) fn read(record: &Record, event: &Result<Event, Malformed>, addresses: &Addresses) -> Option<Self> {
        let attribute = |attribute| event.as_ref().ok().and_then(|event| event.get(attribute));
        let uuid = |which| attribute(which).and_then(|text| Uuid::try_parse(text).ok());
        let key = record.key().and_then(|key| std::str::from_utf8(key).ok());
        let heard = Self {
            command: uuid(Attribute::CausationId).and_then(|id| addresses.commands.get(&id).copied()),
            saga: uuid(Attribute::CorrelationId).and_then(|id| addresses.sagas.get(&id).copied()),
            key: key.and_then(|key| addresses.keys.get(key).copied()),
            has_outcome: attribute(Attribute::Outcome).is_some(),
            answer: match event {
                Ok(event) => wire::reply(record, event).map(|reply| reply.answer),
                Err(malformed) => Err(malformed.clone()),
            }
            .map_err(|malformed| malformed.to_string()),
        };
        let concerns = heard.command.is_some() || heard.saga.is_some() || heard.key.is_some();
        concerns.then_some(heard)
    }

    /// True when it says *I am at work*: answered by nothing, it lengthens the wait.
    pub(super) fn is_progress(&self) -> bool {
        self.answer.as_ref().is_ok_and(|answer| answer.outcome == Outcome::Progress)
    }
}

/// What came in the course of a case.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// In the order of arrival.
    pub(super) heard: Vec<Heard>,
    /// Effects that stand, by saga: as far as they were counted.
    pub(super) effects: BTreeMap<usize, i64>,
    /// Why the reply to the first `do` breaks the schema that the definition names.
    pub(super) unfit: Option<String>,
    /// Why the script ended early: a command could not be rendered from what was replied.
    pub(super) cut_short: Option<String>,
}

impl Course {
    /// The answers to a command that Sagabus can read, but for progress, in the order of arrival.
    pub(super) fn answers(&self, name: Name) -> Vec<&Answer> {
        let own = self.heard.iter().filter(|heard| heard.command == Some(name) && !heard.is_progress());
        own.filter_map(|heard| heard.answer.as_ref().ok()).collect()
    }

    /// The first answer to a command.
    pub(super) fn first(&self, name: Name) -> Option<&Answer> {
        self.answers(name).into_iter().next()
    }

    /// The data of the first success of a command.
    pub(super) fn data(&self, name: Name) -> Option<&Json> {
        let success = self.answers(name).into_iter().find(|answer| answer.outcome == Outcome::Success)?;
        Some(&success.data)
    }

    /// What came, for people: `do: success 2 times; undo: success without effect; effects left: 0`.
    pub(super) fn said(&self) -> String {
        let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for heard in self.heard.iter().filter(|heard| !heard.is_progress()) {
            let to = heard.command.map_or_else(|| "to no command".to_owned(), command_said);
            let what = match &heard.answer {
                Ok(answer) => answer_said(answer),
                Err(reason) => format!("unreadable ({reason})"),
            };
            *counts.entry(to).or_default().entry(what).or_insert(0) += 1;
        }
        let times = |(what, count): (String, usize)| match count {
            1 => what,
            count => format!("{what} {count} times"),
        };
        let line = |(to, whats): (String, BTreeMap<String, usize>)| {
            format!("{to}: {}", whats.into_iter().map(times).collect::<Vec<_>>().join(", "))
        };
        let mut parts: Vec<String> = counts.into_iter().map(line).collect();
        if parts.is_empty() {
            parts.push("no answer".to_owned());
        }
        if !self.effects.is_empty() {
            parts.push(format!("effects left: {}", self.effects.values().sum::<i64>()));
        }
        parts.join("; ")
    }
}

/// A command, for people.
pub(super) fn command_said(name: Name) -> String {
    match (name.action, name.attempt) {
        (action, 1) => action.name().to_owned(),
        (action, attempt) => format!("{} attempt {attempt}", action.name()),
    }
}

/// An answer, for people; never its data.
pub(super) fn answer_said(answer: &Answer) -> String {
    match (answer.outcome, &answer.code) {
        (Outcome::Success, _) if answer.without_effect => "success without effect".to_owned(),
        (Outcome::Success, _) => "success".to_owned(),
        (Outcome::Failure, code) => format!("failure {}", code.as_deref().unwrap_or("without a code")),
        (Outcome::Progress, _) => "progress".to_owned(),
    }
}

/// True when two answers are the same one: in words, effect and data.
pub(super) fn is_same(one: &Answer, other: &Answer) -> bool {
    let words = |answer: &Answer| (answer.outcome, answer.code.clone(), answer.retryable, answer.without_effect);
    words(one) == words(other) && one.data == other.data
}

/// True for a success that changed something.
pub(super) fn has_effect(answer: &Answer) -> bool {
    answer.outcome == Outcome::Success && !answer.without_effect
}

/// True for a failure with this code.
pub(super) fn fails_with(answer: &Answer, code: &str) -> bool {
    answer.outcome == Outcome::Failure && answer.code.as_deref() == Some(code)
}
