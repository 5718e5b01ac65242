//! A definition file with the schemas that it names: loaded, or refused with the place of everything that is wrong; never slowly.

use std::collections::BTreeMap;

use sagabus::core::{Definition, Json, StepKind, Undo, limits};
use sagabus::definition::{Compiled, Report, Source, TriggerMatch};

use super::examples::{begin, trigger};
use super::quick::{LOAD, within};

/// What stands before the name of a schema file; its text follows on the next line.
const SCHEMA: &str = "\n--- schema ";

/// Tries a definition file. Behind it may stand schemas, each with a line `--- schema NAME` above.
pub fn definitions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut parts = text.split(SCHEMA);
    let yaml = parts.next().unwrap_or_default().to_owned();
    let schemas = parts.map(|part| part.split_once('\n').unwrap_or((part, "")));
    let schemas: BTreeMap<String, String> = schemas.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
    let source = Source { file: "fuzz.saga.yaml".to_owned(), yaml, schemas };
    let kept = Source::from_body(&source.body()).expect("what was written is read");
    assert_eq!(kept, source, "the text that Postgres keeps is the source");
    match within(LOAD, "load a definition", || Compiled::load(&source)) {
        Err(report) => refused(&source, &report),
        Ok(plan) => loaded(&source, &plan),
    }
}

fn refused(source: &Source, report: &Report) {
    assert!(!report.is_empty(), "a refusal says why");
    assert_eq!(report, &Compiled::load(source).expect_err("it was refused"), "the same file has the same findings");
    // A lone carriage return ends a line as well, in YAML; only where there is none are columns counted here.
    let lines: Vec<&str> = source.yaml.split('\n').collect();
    let breaks = source.yaml.matches(['\n', '\r']).count();
    for finding in &report.findings {
        assert!((1..=breaks + 1).contains(&finding.line), "line {} of {}: {finding}", finding.line, breaks + 1);
        let width = lines.get(finding.line - 1).map_or(0, |line| line.chars().count());
        let is_there = (1..=width + 2).contains(&finding.column) || source.yaml.contains('\r');
        assert!(is_there, "column {} of {width}: {finding}", finding.column);
        assert!(!finding.message.is_empty() && !finding.hint.is_empty(), "{finding}");
    }
    assert!(!report.render(false).is_empty(), "people are shown it");
}

fn loaded(source: &Source, plan: &Compiled) {
    let definition = plan.definition();
    assert_eq!(definition.hash, source.hash());
    assert_eq!(Compiled::load(source).map(|again| again.definition().clone()).as_ref(), Ok(definition));
    assert!((1..=limits::STEPS).contains(&definition.steps.len()));
    let topics = [&definition.trigger_topic, &definition.reply_topic, &definition.outcome_topic];
    for topic in topics.into_iter().chain(definition.steps.iter().map(|step| &step.command_topic)) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        assert!((1..=249).contains(&topic.len()) && topic.chars().all(allowed), "{topic:?}");
    }
    order_and_neighbours_agree(definition);
    nothing_may_fail_behind_a_pivot(definition);
    let data =
        Json::parse(br#"{"id":"k","orderId":"k","amount":7,"items":[{"sku":"s","quantity":1}]}"#).expect("it is JSON");
    let trigger = trigger(plan, data);
    if let Ok(TriggerMatch::Start { business_key }) = plan.accepts(&trigger) {
        begin(plan, &business_key, trigger);
    }
}

fn order_and_neighbours_agree(definition: &Definition) {
    let mut seen = vec![false; definition.steps.len()];
    for step in &definition.order {
        let rule = definition.step(*step);
        assert!(rule.after.iter().all(|before| seen[before.at()]), "a step stands behind its predecessors");
        assert!(!std::mem::replace(&mut seen[step.at()], true), "a step stands once in the order");
        assert!(rule.after.len() <= limits::FAN_OUT && rule.before.len() <= limits::FAN_OUT);
        assert!(rule.before.iter().all(|after| definition.step(*after).after.contains(step)));
        let behind = |before: &sagabus::core::StepIx| {
            let before = definition.step(*before);
            before.behind_pivot || before.kind == StepKind::Pivot
        };
        assert_eq!(rule.behind_pivot, rule.after.iter().any(behind));
        assert!(rule.timeout_ms > 0 && rule.patience_ms >= rule.timeout_ms);
        assert!(rule.retry.maximum_attempts > 0 && rule.compensation.retry.maximum_attempts > 0);
        assert_eq!(definition.place_of(&rule.name), Some(*step), "names are unique");
    }
    assert!(seen.into_iter().all(|seen| seen), "every step has its place in the order");
}

fn nothing_may_fail_behind_a_pivot(definition: &Definition) {
    for rule in &definition.steps {
        match rule.kind {
            StepKind::Compensatable => assert!(!rule.behind_pivot && matches!(rule.undo, Undo::Command(_))),
            StepKind::ReadOnly => assert!(!rule.behind_pivot && rule.undo == Undo::Nothing),
            StepKind::Pivot => assert_eq!(rule.undo, Undo::Nothing),
            StepKind::Retriable => assert!(!rule.behind_pivot || rule.undo == Undo::Nothing),
        }
    }
}
