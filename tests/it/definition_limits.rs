//! Definitions at their limits: linted quickly whatever is wrong with them, and what they render stays bounded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sagabus::core::{Action, Json, RenderError, StepIx, Timestamp, Trigger, saga_id, start};
use sagabus::definition::{Compiled, Report, Source};

const HEAD: &str = "saga: v1\nname: t\nversion: 1\ntrigger: {topic: t, type: t}\nbusinessKey: ${trigger.data.id}\n";

/// 50 ms (RELIABILITY.md section 3 G) in a build that is not optimized, on a machine that does other things besides. What this is
/// for took minutes.
const QUICKLY: Duration = Duration::from_secs(5);

fn source(yaml: String) -> Source {
    Source { file: "test.saga.yaml".to_owned(), yaml, schemas: BTreeMap::new() }
}

fn load(what: &str, source: &Source) -> Result<Compiled, Report> {
    let started = Instant::now();
    let loaded = Compiled::load(source);
    let took = started.elapsed();
    println!("{what}: {} bytes in {took:?}", source.yaml.len());
    assert!(took < QUICKLY, "{what}: {took:?}");
    loaded
}

fn generated(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

#[test]
fn files_of_nothing_but_mistakes_are_refused_quickly_with_some_of_them() {
    let steps = |text: String| format!("{HEAD}steps:\n{text}");
    let step = |n: usize| format!("  s{n}: {{kind: readOnly, command: {{type: t}}}}\n");
    let files = [
        ("unknown keys", steps(generated(1, step)) + &generated(25_000, |n| format!("k{n}: 1\n"))),
        (
            "unknown keys in a line",
            steps(generated(1, step)) + &format!("x: {{{}}}\n", generated(22_000, |n| format!("k{n}: 1, "))),
        ),
        (
            "unknown predecessors",
            steps(generated(500, |n| {
                let after = generated(50, |m| format!("x{n}{m}, "));
                format!("  s{n}: {{after: [{after}], kind: readOnly, command: {{type: t}}}}\n")
            })),
        ),
        ("too many steps", steps(generated(5_000, step))),
        (
            "unused participants",
            steps(generated(500, step)) + "participants:\n" + &generated(15_000, |n| format!("  p{n}: {{}}\n")),
        ),
        (
            "bad clocks",
            steps(generated(500, |n| {
                format!("  s{n}: {{kind: readOnly, timeout: 1y, patience: 1, command: {{type: t}}}}\n")
            })),
        ),
    ];
    for (what, yaml) in files {
        let report = load(what, &source(yaml)).expect_err("nothing in it is right");
        assert!((1..=100).contains(&report.findings.len()), "{what}: {} findings", report.findings.len());
        assert!(report.to_string().len() < 500_000, "{what}: people read this");
    }
}

#[test]
fn the_largest_definition_is_loaded_quickly() {
    let first = generated(200, |n| format!("s{n}, "));
    let graph = generated(400, |n| {
        let after = if n < 200 { "" } else { &first };
        format!("  s{n}: {{after: [{after}], kind: readOnly, command: {{type: t, data: '${{trigger.data}}'}}}}\n")
    });
    assert!(load("two hundred before two hundred", &source(format!("{HEAD}steps:\n{graph}"))).is_ok());
    let mut schema = r#"{"type":"object","properties":{"#.to_owned();
    (0..5_000).for_each(|n| write!(schema, r#""p{n}":{{"type":"string","maxLength":7}},"#).expect("a text has room"));
    schema.push_str(r#""last":{}}}"#);
    let steps = generated(500, |n| {
        format!("  s{n}: {{kind: readOnly, command: {{type: t, schema: x.json}}, reply: {{schema: x.json}}}}\n")
    });
    let mut named = source(format!("{HEAD}steps:\n{steps}"));
    named.schemas.insert("x.json".to_owned(), schema);
    assert!(load("one schema, named a thousand times", &named).is_ok());
}

/// The data of a step's command, for a trigger with these data.
fn rendered(data: &str, trigger: &str) -> Result<Json, RenderError> {
    let yaml = format!("{HEAD}steps:\n  a: {{kind: readOnly, command: {{type: t, data: {data}}}}}\n");
    let plan = load("one command", &source(yaml)).unwrap_or_else(|report| panic!("{report}"));
    let trigger = Trigger {
        topic: "t".into(),
        partition: 0,
        offset: 0,
        timestamp: Timestamp::ZERO,
        id: None,
        kind: "t".into(),
        data: Json::parse(trigger.as_bytes()).unwrap(),
        traceparent: None,
        tracestate: None,
    };
    let saga = start(plan.rules(), saga_id("t", "k", Timestamp::ZERO), "k".into(), trigger, Timestamp::ZERO).saga;
    let started = Instant::now();
    let data = plan.rules().render.data(&saga, StepIx(0), Action::Do);
    assert!(started.elapsed() < QUICKLY, "rendered in {:?}", started.elapsed());
    data
}

#[test]
fn what_would_be_larger_than_a_command_may_be_is_never_built() {
    let trigger = format!(r#"{{"id":"k","s":"{}"}}"#, "x".repeat(500_000));
    let copies = |count: usize| format!("[{}]", "'${trigger.data}', ".repeat(count));
    assert!(rendered(&copies(2), &trigger).is_ok());
    assert_eq!(rendered(&copies(10_000), &trigger).map_err(|error| error.code), Err("saga.too_large"));
    let text = format!("'{}'", "${trigger.data.s}".repeat(10_000));
    assert_eq!(rendered(&text, &trigger).map_err(|error| error.code), Err("saga.too_large"));
    let shared = "\"${[trigger.data, trigger.data, trigger.data]}\"";
    let refused = rendered(shared, &trigger).expect_err("three copies");
    assert_eq!(refused.code, "saga.expression");
    assert!(refused.message.contains("more than 1048576 bytes"), "{}", refused.message);
}

#[test]
fn loops_that_grow_faster_than_their_data_are_for_small_data() {
    let items = |count: usize| format!(r#"{{"id":"k","items":[{}0]}}"#, "1,".repeat(count));
    let nested = "\"${trigger.data.items.exists(i, trigger.data.items.exists(j, i + j == 7))}\"";
    let in_a_loop = "\"${trigger.data.items.exists(i, i == size(trigger.data.items))}\"";
    for quadratic in [nested, in_a_loop] {
        assert_eq!(rendered(quadratic, &items(20)).unwrap().get(), "false");
        let refused = rendered(quadratic, &items(5_000)).expect_err("25 million values");
        assert!(refused.message.contains("take too long"), "{}", refused.message);
    }
    let one_after_another = "\"${size(trigger.data.items.filter(i, i > 0).map(i, i + 1))}\"";
    assert_eq!(rendered(one_after_another, &items(5_000)).unwrap().get(), "5000");
}

/// CEL calls itself for each operator: the largest expressions of each kind, on the stack of a thread of the tests (2 MiB).
#[test]
fn an_expression_at_its_limit_needs_no_deep_stack() {
    let data = r#"{"id":"k","a":{"a":1}}"#;
    let chains = [
        format!("1{}", " + 1".repeat(32)),
        format!("1{}", " < 1".repeat(32)),
        format!("1 == 1{}", " == true".repeat(15)),
        format!("trigger.data{}", ".a".repeat(300)),
        format!("{}1{}", "[".repeat(10), "]".repeat(10)),
        format!("trigger.data{}", "['a']".repeat(30)),
        format!("{}1", "!".repeat(10)),
        format!("'a'{}", ".size()".repeat(31)),
    ];
    for chain in chains {
        // Whatever it says: it is said.
        let _ = rendered(&format!("\"${{{chain}}}\""), data);
    }
    let long = format!("\"${{1{}}}\"", " + 1".repeat(33));
    let yaml = format!("{HEAD}steps:\n  a: {{kind: readOnly, command: {{type: t, data: {long}}}}}\n");
    let report = load("too many operators", &source(yaml)).expect_err("33 operators");
    assert!(report.findings[0].message.contains("more than 32 operators"), "{report}");
}
