//! An expression and the data that it reads: compiled where it stands alone and within text, evaluated twice to the same bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use sagabus::core::{
    Action, Answer, Input, Json, Outcome, Reply, Saga, StepIx, Timestamp, command_id, decide, issue_all, limits,
};
use sagabus::definition::{Compiled, Source};
use serde_json::Value;

use super::examples::{begin, trigger};
use super::quick::{EVALUATION, LOAD, within};

/// Tries an expression: the first line. The rest is the trigger's data, and the reply of step `a`.
pub fn expressions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (expression, data) = text.split_once('\n').unwrap_or((text, "{}"));
    // Written anew, no member is there twice: what a member's value is has one answer.
    let value: Value = Json::foreign(data.as_bytes())
        .ok()
        .and_then(|data| serde_json::from_str(data.get()).ok())
        .unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let data = Json::parse(value.to_string().as_bytes()).expect("it was written as JSON");
    if let Some(plan) = load(&filter(expression)) {
        let trigger = trigger(&plan, data.clone());
        let first = within(EVALUATION, "evaluate a filter", || plan.accepts(&trigger));
        assert_eq!(plan.accepts(&trigger), first, "the same trigger is the same saga");
    }
    if let Some(plan) = load(&command(expression)) {
        let saga = with_reply(&plan, &data);
        for (place, action) in [(0, Action::Undo), (1, Action::Do), (1, Action::Undo), (2, Action::Do)] {
            rendered(&plan, &saga, StepIx(place), action);
        }
        if let Ok(found) = plan.rules().render.data(&saga, StepIx(1), Action::Do) {
            path_is_what_a_tree_says(expression, &found, &value);
        }
    }
}

fn load(yaml: &str) -> Option<Compiled> {
    let source = Source { file: "fuzz.saga.yaml".to_owned(), yaml: yaml.to_owned(), schemas: BTreeMap::new() };
    within(LOAD, "compile an expression", || Compiled::load(&source)).ok()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

const HEAD: &str = "saga: v1\nname: t\nversion: 1\nbusinessKey: 'k-${trigger.type}'\n";

fn filter(expression: &str) -> String {
    let when = quoted(expression);
    format!(
        "{HEAD}trigger: {{topic: t, type: t, when: {when}}}\nsteps:\n  a: {{kind: readOnly, command: {{type: t}}}}\n"
    )
}

fn command(expression: &str) -> String {
    let alone = quoted(&format!("${{{expression}}}"));
    let within = quoted(&format!("x ${{{expression}}} y"));
    format!(
        "{HEAD}trigger: {{topic: t, type: t}}\nsteps:\n  a: {{command: {{type: t}}, compensate: {{type: u}}}}\n  \
         b: {{after: [a], command: {{type: t, data: {alone}}}, compensate: {{type: u, data: {{d: [{within}]}}}}}}\n  \
         c: {{after: [b], kind: readOnly, command: {{type: t, data: {{text: {within}, list: [1, {alone}]}}}}}}\n"
    )
}

/// A saga whose first step was answered with `data`.
fn with_reply(plan: &Compiled, data: &Json) -> Saga {
    let saga = begin(plan, "k", trigger(plan, data.clone())).saga;
    let answer = Answer {
        id: Arc::from("r-1"),
        outcome: Outcome::Success,
        data: data.clone(),
        code: None,
        retryable: false,
        without_effect: false,
    };
    let command_id = command_id(saga.id, StepIx(0), Action::Do, 1);
    let topic = Arc::clone(&plan.definition().reply_topic);
    let reply = Input::Reply(Reply { topic, saga_id: saga.id, command_id, answer });
    let now = Timestamp::from_millis(1_700_000_001_000);
    within(EVALUATION, "issue a command", || issue_all(plan.rules(), decide(plan.rules(), &saga, &reply, now))).saga
}

fn rendered(plan: &Compiled, saga: &Saga, step: StepIx, action: Action) {
    let render = || plan.rules().render.data(saga, step, action);
    let first = within(EVALUATION, "render a command", render);
    assert_eq!(render(), first, "the same saga renders the same bytes");
    if let Ok(data) = first {
        assert!(data.get().len() <= limits::VALUE_BYTES, "{} bytes", data.get().len());
        assert!(Json::parse(data.get().as_bytes()).is_ok());
    }
}

/// A plain path gives what walking down a tree gives.
fn path_is_what_a_tree_says(expression: &str, found: &Json, data: &Value) {
    let names: Vec<&str> = expression.trim().split('.').collect();
    let members = match names.as_slice() {
        ["trigger", "data", members @ ..] | ["steps", "a", "reply", members @ ..] => members,
        _ => return,
    };
    let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty();
    if !members.iter().all(is_name) || members.iter().any(|name| name.starts_with(|c: char| c.is_ascii_digit())) {
        return;
    }
    let expected = members.iter().try_fold(data, |value, name| value.get(*name));
    let found: Value = serde_json::from_str(found.get()).expect("data are JSON");
    assert_eq!(Some(&found), expected, "{expression}");
}
