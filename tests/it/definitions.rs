//! Definition files: the examples are right, what is wrong is said at once and all of it, hostile files are refused quickly.

use std::path::{Path, PathBuf};

use sagabus::core::{
    Action, Json, Render, Saga, Step, StepIx, StepKind, Timestamp, Trigger, Wait, effects, issue_all, saga_id, start,
};
use sagabus::definition::{Compiled, Report, Source, json_schema, lint_files, read_folder};

fn source(yaml: &str) -> Source {
    Source { file: "test.saga.yaml".to_owned(), yaml: yaml.to_owned(), schemas: std::collections::BTreeMap::new() }
}

const HEAD: &str = "saga: v1\nname: t\nversion: 1\ntrigger: {topic: t, type: t}\nbusinessKey: ${trigger.data.id}\n";

fn messages(yaml: &str) -> Vec<String> {
    match Compiled::load(&source(yaml)) {
        Ok(_) => Vec::new(),
        Err(report) => report.findings.iter().map(|finding| finding.message.clone()).collect(),
    }
}

fn steps(text: &str) -> Vec<String> {
    messages(&format!("{HEAD}steps:\n{text}"))
}

#[test]
fn the_examples_lint_clean() {
    let report = lint_files(&[PathBuf::from("sagas")]);
    assert!(report.is_empty(), "{report}");
    assert_eq!(read_folder(Path::new("sagas")).unwrap().len(), 4);
}

#[test]
fn a_trade_has_exactly_its_four_edges() {
    let all = read_folder(Path::new("sagas")).unwrap();
    let (_, trade) = all.iter().find(|(_, compiled)| &*compiled.definition().name == "trade-settlement").unwrap();
    let definition = trade.definition();
    let mut edges: Vec<String> = definition
        .places()
        .flat_map(|step| definition.step(step).after.iter().map(move |before| (*before, step)))
        .map(|(before, step)| format!("{} -> {}", definition.step(before).name, definition.step(step).name))
        .collect();
    edges.sort();
    assert_eq!(edges, ["clearing -> risk", "order -> clearing", "order -> notification", "risk -> accounting"]);
}

#[test]
fn the_schema_for_editors_is_that_of_the_code() {
    let path = "schemas/saga.v1.json";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, json_schema()).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == json_schema(), "{path} is not that of the code; UPDATE_GOLDEN=1 cargo test writes it anew");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let found = steps(
        "  a: {comand: 1, command: {type: a}}\n  b: {after: [x], command: {type: b}, compensate: {type: b}, timeout: 5x}\n",
    );
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found.iter().any(|message| message.contains("unknown key")));
    assert!(found.iter().any(|message| message.contains("there is no step x")));
    assert!(found.iter().any(|message| message.contains("says not how it is undone")));
    assert!(found.iter().any(|message| message.contains("no length of time")));
}

#[test]
fn a_finding_names_its_line_and_column() {
    let yaml = format!(
        "{HEAD}steps:\n  a: {{command: {{type: a}}, compensate: {{type: u}}}}\n  b:\n    after: [nobody]\n    command: {{type: b}}\n    kind: readOnly\n"
    );
    let report = Compiled::load(&source(&yaml)).unwrap_err();
    assert_eq!((report.findings[0].line, report.findings[0].column), (9, 13), "{report}");
    assert!(report.render(false).contains("after: [nobody]"));
}

#[test]
fn cycles_twins_and_failing_behind_a_pivot_are_refused() {
    let ok = "command: {type: t}, compensate: {type: u}";
    assert!(
        steps(&format!("  a: {{after: [b], {ok}}}\n  b: {{after: [a], {ok}}}\n"))[0].contains("wait for each other")
    );
    assert!(!steps(&format!("  a: {{{ok}}}\n  a: {{{ok}}}\n")).is_empty());
    let behind = steps(&format!("  p: {{kind: pivot, command: {{type: t}}}}\n  a: {{after: [p], {ok}}}\n"));
    assert!(behind.iter().any(|message| message.contains("can fail, and is not before pivot")), "{behind:?}");
    let beside = steps("  p: {kind: pivot, command: {type: t}}\n  q: {kind: pivot, command: {type: t}}\n");
    assert!(beside[0].contains("not on the path"), "{beside:?}");
    assert!(
        steps("  p: {kind: pivot, command: {type: t}}\n  q: {after: [p], kind: pivot, command: {type: t}}\n")
            .is_empty()
    );
}

#[test]
fn an_expression_may_only_read_what_exists_at_its_step() {
    let found = steps(
        "  a: {command: {type: t, data: \"${steps.b.reply.x}\"}, compensate: {type: u}}\n  b: {after: [a], command: {type: t, data: \"${steps.b.reply}\"}, compensate: {type: u, data: \"${steps.b.reply.x}\"}}\n",
    );
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(!messages(&HEAD.replace("trigger.data.id", "steps.a.reply")).is_empty());
}

#[test]
fn hostile_files_are_refused_quickly_and_without_a_panic() {
    let bomb = format!(
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n{HEAD}steps: {{}}\n"
    );
    let chain: String = (0..10_000)
        .map(|n| {
            format!(
                "  s{n}: {{after: [{}], kind: readOnly, command: {{type: t}}}}\n",
                if n == 0 { String::new() } else { format!("s{}", n - 1) }
            )
        })
        .collect();
    let deep = format!("{HEAD}steps: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    for yaml in
        [&bomb, &deep, &"\0".repeat(100), &"x".repeat(2_000_000), &format!("{HEAD}steps:\n{chain}"), &String::new()]
    {
        assert!(Compiled::load(&source(yaml)).is_err());
    }
}

#[test]
fn hostile_expressions_are_refused_without_a_panic() {
    let long = format!("trigger.data.{}", "x".repeat(2_000));
    let nested = format!("{}1{}", "(".repeat(400), ")".repeat(400));
    for text in [
        &long,
        &nested,
        "1 +",
        "trigger.",
        "steps.nobody.reply",
        "unknown.x",
        "[1].map(a,[1].map(b,[1].map(c,1)))",
        "'\\u{0}",
        "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!1",
    ] {
        let yaml = format!(
            "{HEAD}steps:\n  a: {{command: {{type: t, data: {{x: {:?}}}}}, compensate: {{type: u}}}}\n",
            format!("${{{text}}}")
        );
        assert!(Compiled::load(&source(&yaml)).is_err(), "{text}");
    }
}

#[test]
fn the_definition_in_the_readme_is_valid() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let text = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = std::env::temp_dir().join(format!("readme-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("readme.saga.yaml"), text).unwrap();
    let found = read_folder(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    let found = found.unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(found[0].1.definition().steps.len(), 5);
}

fn report(yaml: &str) -> Report {
    Compiled::load(&source(yaml)).expect_err("something is wrong with it")
}

/// Line, column and message of each finding.
fn places(yaml: &str) -> Vec<(usize, usize, String)> {
    report(yaml).findings.into_iter().map(|finding| (finding.line, finding.column, finding.message)).collect()
}

fn step_with(data: &str) -> String {
    format!("{HEAD}steps:\n  a: {{command: {{type: t, data: {{x: {data:?}}}}}, compensate: {{type: u}}}}\n")
}

fn trigger(data: &str) -> Trigger {
    Trigger {
        topic: "t".into(),
        partition: 0,
        offset: 0,
        timestamp: Timestamp::from_millis(1_700_000_000_000),
        id: None,
        kind: "t".into(),
        data: Json::parse(data.as_bytes()).unwrap(),
        traceparent: None,
        tracestate: None,
    }
}

/// A saga of this definition, begun by these data, with its first commands issued.
fn begun(compiled: &Compiled, data: &str) -> Saga {
    let trigger = trigger(data);
    let (now, rules) = (trigger.timestamp, compiled.rules());
    let decision = issue_all(rules, start(rules, saga_id("t", "1", now), "1".into(), trigger, now));
    let sent = effects(rules, &decision.saga, 1, now, &decision.facts, &[]);
    assert!(sent.iter().all(Result::is_ok), "what was issued renders again: {sent:?}");
    decision.saga
}

#[test]
fn a_loop_over_a_map_renders_in_the_order_of_its_keys_each_time() {
    let members: Vec<String> = (0..40).rev().map(|n| format!("\"k{n:02}\":{n}")).collect();
    let data = format!("{{\"m\":{{{}}}}}", members.join(","));
    let names: Vec<String> = (0..40).map(|n| format!("\"k{n:02}\"")).collect();
    for expression in ["${trigger.data.m.map(k, k)}", "${trigger.data.m.filter(k, true)}"] {
        let compiled = Compiled::load(&source(&step_with(expression))).unwrap_or_else(|report| panic!("{report}"));
        for _ in 0..20 {
            let saga = begun(&compiled, &data);
            let rendered = compiled.data(&saga, StepIx(0), Action::Do).unwrap();
            assert_eq!(rendered.get(), format!("{{\"x\":[{}]}}", names.join(",")));
        }
    }
    let twins =
        Compiled::load(&source(&step_with("${{1: 'a', '1': 'b'}}"))).unwrap_or_else(|report| panic!("{report}"));
    let decision = start(twins.rules(), saga_id("t", "1", Timestamp::ZERO), "1".into(), trigger("{}"), Timestamp::ZERO);
    assert!(twins.data(&decision.saga, StepIx(0), Action::Do).is_err(), "JSON knows one member of a name");
}

#[test]
fn what_an_expression_reads_is_known_by_its_members_too() {
    for text in [
        "trigger.orderId",
        "trigger",
        "trigger.type.x",
        "saga.nmae",
        "saga.nmae + 'x'",
        "steps.a.attempts",
        "steps",
        "steps['b'].reply.x + 'x'",
        "has(saga.nmae)",
        "[1].map(saga, saga)",
        "nobody + 1",
    ] {
        assert_eq!(places(&step_with(&format!("${{{text}}}"))).len(), 1, "{text}");
    }
    for text in [
        "'see steps.zz and saga.nmae'",
        "trigger['data']['a b']",
        "trigger.data.items[0].name",
        "saga.name + saga.id",
        "has(trigger.data.x) ? trigger.data.x : 1",
        "[1].map(x, x) + [2].filter(x, true) + [3].map(y, y)",
        "[[1]].map(x, x.map(y, y + 1))",
    ] {
        assert_eq!(messages(&step_with(&format!("${{{text}}}"))), [""; 0], "{text}");
    }
    for text in
        ["[1].map (a, [1].map (b, [1].map (c, 1)))", "[1].existsOne(a, [1].existsOne(b, [1].existsOne(c, true)))"]
    {
        assert!(places(&step_with(&format!("${{{text}}}")))[0].2.contains("loops"), "{text}");
    }
    let beside = "  a: {command: {type: t}, compensate: {type: u}}\n  b: {command: {type: t, data: \"${steps['a'].reply.x + 1}\"}, compensate: {type: u}}\n";
    assert!(steps(beside)[0].contains("need not be done before it"));
}

#[test]
fn before_a_saga_begins_there_are_its_trigger_and_its_name() {
    for key in ["${trigger.orderId}", "${saga.id}", "${saga.businessKey}", "${trigger.data.id + saga.id}"] {
        assert_eq!(
            places(&format!(
                "{}steps:\n  a: {{kind: readOnly, command: {{type: t}}}}\n",
                HEAD.replace("${trigger.data.id}", key)
            ))
            .len(),
            1,
            "{key}"
        );
    }
    let with = |when: &str| {
        HEAD.replace("type: t}", &format!("type: t, when: {when:?}}}"))
            + "steps:\n  a: {kind: readOnly, command: {type: t}}\n"
    };
    assert_eq!(places(&with("saga.id == 'x'")).len(), 1);
    let compiled = Compiled::load(&source(&with("saga.name == 't' && saga.version == 1")))
        .unwrap_or_else(|report| panic!("{report}"));
    let accepted = compiled.accepts(&trigger(r#"{"id":"1"}"#));
    assert!(matches!(accepted, Ok(sagabus::definition::TriggerMatch::Start { .. })), "{accepted:?}");
}

#[test]
fn an_undo_that_reads_a_reply_which_never_came_is_null_there() {
    let yaml = format!(
        "{HEAD}steps:\n  a: {{command: {{type: t}}, compensate: {{type: u, data: {{x: \"${{steps.a.reply.r + 'x'}}\", y: \"${{steps.a.reply.r}}\", z: \"${{saga.name}}\"}}}}}}\n"
    );
    let compiled = Compiled::load(&source(&yaml)).unwrap_or_else(|report| panic!("{report}"));
    let rendered = compiled.data(&begun(&compiled, "{}"), StepIx(0), Action::Undo).unwrap();
    assert_eq!(rendered.get(), r#"{"x":null,"y":null,"z":"t"}"#);
}

#[test]
fn an_undo_without_data_of_its_own_gets_the_edited_data_of_its_do() {
    let yaml = format!("{HEAD}steps:\n  a: {{command: {{type: t, data: {{amount: 5}}}}, compensate: {{type: u}}}}\n");
    let compiled = Compiled::load(&source(&yaml)).unwrap_or_else(|report| panic!("{report}"));
    let mut saga = begun(&compiled, "{}");
    let edited = |text: &str| Some(Json::parse(text.as_bytes()).unwrap());
    saga.step_mut(StepIx(0)).edited.0 = edited(r#"{"amount":7}"#);
    let undo = |saga: &Saga| compiled.data(saga, StepIx(0), Action::Undo).unwrap().get().to_owned();
    assert_eq!(undo(&saga), r#"{"amount":7}"#);
    saga.step_mut(StepIx(0)).edited.1 = edited(r#"{"amount":8}"#);
    assert_eq!(undo(&saga), r#"{"amount":8}"#, "its own edit comes first");
}

#[test]
fn a_wrong_word_a_cycle_and_a_broken_condition_hide_nothing_else() {
    let words = steps(
        "  a: {kind: pivott, command: {type: t}}\n  b: {after: [zz], command: {type: t}, timeout: 5x}\n  c: {retry: {jitter: some}, kind: readOnly, command: {type: c}}\n",
    );
    for part in ["steps.a.kind is", "there is no step zz", "no length of time", "steps.c.retry.jitter is"] {
        assert!(words.iter().any(|message| message.contains(part)), "{part}: {words:#?}");
    }
    let missing = steps("  a: {kind: readOnly}\n  b: {command: {}, kind: 5}\n");
    for part in ["command is missing in steps.a", "type is missing in steps.b.command", "steps.b.kind is 5"] {
        assert!(missing.iter().any(|message| message.contains(part)), "{part}: {missing:#?}");
    }
    let ok = "command: {type: t}, compensate: {type: u}";
    let cycles = steps(&format!(
        "  a: {{after: [b], {ok}}}\n  b: {{after: [a], {ok}}}\n  c: {{after: [d], {ok}}}\n  d: {{after: [c], {ok}}}\n  e: {{{ok}, timeout: never}}\n  f: {{after: [f], {ok}}}\n"
    ));
    assert_eq!(cycles.iter().filter(|message| message.contains("wait for each other")).count(), 3, "{cycles:#?}");
    assert!(cycles.iter().any(|message| message.contains("no length of time")), "{cycles:#?}");
    let both =
        HEAD.replace("type: t}", "type: t, when: '1 +', schema: gone.json}") + &format!("steps:\n  a: {{{ok}}}\n");
    assert_eq!(places(&both).len(), 2);
}

#[test]
fn an_unknown_key_is_found_where_it_stands_with_a_key_that_may_stand_there() {
    let yaml = format!(
        "{HEAD}defaults:\n  timeout: 3s\nsteps:\n  a:\n    command: {{type: t}}\n    compensate: {{type: u}}\n    retry: {{jiter: full}}\n  b:\n    command: {{type: t, dat: 4}}\n    compensate: {{type: u, dat: 5}}\nver: 3\n"
    );
    let found = report(&yaml).findings;
    let said: Vec<(usize, usize, &str, &str)> = found
        .iter()
        .map(|finding| (finding.line, finding.column, finding.message.as_str(), finding.hint.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (12, 13, "unknown key steps.a.retry.jiter", "did you mean jitter?"),
            (14, 24, "unknown key steps.b.command.dat", "did you mean data?"),
            (15, 27, "unknown key steps.b.compensate.dat", "did you mean data?"),
            (16, 1, "unknown key ver", "did you mean version?"),
        ]
    );
}

#[test]
fn a_wrong_word_is_answered_with_the_right_one() {
    let ok = "steps:\n  a: {kind: readOnly, command: {type: t}}\n";
    let hints = |yaml: &str| report(yaml).findings.iter().map(|finding| finding.hint.clone()).collect::<Vec<_>>();
    for (yaml, hint) in [
        (HEAD.replace("v1", "v9") + ok, "did you mean v1?"),
        (HEAD.to_owned() + &ok.replace("readOnly", "readonly"), "did you mean readOnly?"),
        (HEAD.replace("version: 1", "version: many") + ok, "write a whole number"),
    ] {
        assert!(hints(&yaml).iter().any(|given| given == hint), "{hint}: {:?}", hints(&yaml));
    }
    assert_eq!(report(&(HEAD.replace("version: 1", "version: 1e3") + ok)).findings[0].line, 3);
}

#[test]
fn definitions_that_could_not_run_are_refused() {
    let ok = "steps:\n  a: {command: {type: t}, compensate: {type: u}}\n";
    for yaml in [
        format!("{HEAD}replyTopic: a.commands\n{ok}"),
        format!("{HEAD}outcomeTopic: t\n{ok}"),
        format!("{HEAD}outcomeTopic: x\nreplyTopic: x\n{ok}"),
        format!("{HEAD}{}", ok.replace("type: t", "type: ''")),
        format!("{HEAD}{}", ok.replace("type: u", "type: \"u\\n\"")),
        format!("{HEAD}defaults: {{retry: {{backoffCoefficient: -5}}}}\n{ok}"),
        format!("{HEAD}defaults: {{retry: {{maximumInterval: 0s}}}}\n{ok}"),
        format!("{HEAD}defaults: {{retry: {{initialInterval: 2m, maximumInterval: 1m}}}}\n{ok}"),
    ] {
        assert_eq!(places(&yaml).len(), 1, "{yaml}");
    }
}

#[test]
fn masked_places_are_json_pointers_that_the_business_key_does_not_read() {
    let yaml =
        |mask: &str| format!("{HEAD}mask: {mask}\nsteps:\n  a: {{command: {{type: a}}, compensate: {{type: u}}}}\n");
    let masked = |mask: &str| places(&yaml(mask));
    assert_eq!(messages(&yaml(r#"[/customer/card, "/items/*/a~1b", ""]"#)), [""; 0]);
    let (line, column, message) = masked("[/customer, customer/card]").remove(0);
    assert_eq!((line, column), (6, 19));
    assert!(message.contains("\"customer/card\" is no JSON pointer"), "{message}");
    assert!(masked("[/a, /b, /a]")[0].2.contains("/a is masked twice"));
    assert!(masked("[/id]")[0].2.contains("businessKey reads /id, which is masked"));
    assert!(masked("/id")[0].2.contains("mask is \"/id\""), "{:?}", masked("/id"));
    let many: Vec<String> = (0..101).map(|place| format!("/p{place}")).collect();
    assert!(masked(&format!("[{}]", many.join(", ")))[0].2.contains("101 places are masked, at most 100"));
}

#[test]
fn what_the_reader_of_yaml_says_is_said_for_authors() {
    for (yaml, said) in [
        (format!("{HEAD}name: again\nsteps: {{}}\n"), "the key name is there twice"),
        (format!("{HEAD}steps: {{}}\n---\nx: 1\n"), "several documents"),
    ] {
        let message = &report(&yaml).findings[0].message;
        assert!(message.contains(said) && !message.contains("Options"), "{message}");
    }
}

#[test]
fn files_that_are_no_text_or_lead_out_of_the_project_are_refused_at_their_place() {
    let root = std::env::temp_dir().join(format!("lint-{}", std::process::id()));
    let folder = root.join("project").join("sagas");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(root.join("outside.json"), "{}").unwrap();
    std::os::unix::fs::symlink(root.join("outside.json"), folder.join("link.json")).unwrap();
    let step = |schema: &str| {
        format!("  {schema}: {{kind: readOnly, command: {{type: t, schema: {schema}.json}}, timeout: 5x}}\n")
    };
    std::fs::write(
        folder.join("a.saga.yaml"),
        format!(
            "{HEAD}steps:\n{}  b: {{kind: readOnly, command: {{type: t, schema: ../../outside.json}}}}\n",
            step("link")
        ),
    )
    .unwrap();
    std::fs::write(folder.join("b.saga.yaml"), b"saga: v1\nname: \xff\n").unwrap();
    let report = lint_files(&[folder.join("a.saga.yaml"), folder.join("b.saga.yaml"), PathBuf::from("/dev/zero")]);
    std::fs::remove_dir_all(&root).unwrap();
    let said: Vec<String> = report
        .findings
        .iter()
        .map(|finding| format!("{}:{} {}", finding.line, finding.column, finding.message))
        .collect();
    for part in [
        "7:53 schema link.json cannot be read",
        "8:50 schema ../../outside.json lies outside",
        "no length of time",
        "2:7 is not UTF-8",
        "1:1 is no file",
    ] {
        assert!(said.iter().any(|said| said.contains(part)), "{part}: {said:#?}");
    }
}

#[test]
fn a_file_at_its_limits_is_judged_at_once() {
    let unknown: String = (0..20_000).map(|n| format!("k{n}: 1\n")).collect();
    let wide: String = (0..200).map(|n| format!("  w{n}: {{kind: readOnly, command: {{type: t}}}}\n")).collect();
    let names: Vec<String> = (0..200).map(|n| format!("w{n}")).collect();
    let joins: String = (0..200)
        .map(|n| {
            format!(
                "  j{n}: {{after: [{}], kind: readOnly, command: {{type: t, data: \"${{steps.w0.reply}}\"}}}}\n",
                names.join(",")
            )
        })
        .collect();
    let chain: String = (1..10_000)
        .map(|n| format!("  s{n}: {{after: [s{}], kind: readOnly, command: {{type: t}}}}\n", n - 1))
        .collect();
    let cases = [
        ("20,000 unknown keys", format!("{HEAD}{unknown}steps:\n{wide}")),
        ("400 steps, 40,000 edges", format!("{HEAD}steps:\n{wide}{joins}")),
        ("a chain of 10,000", format!("{HEAD}steps:\n  s0: {{kind: readOnly, command: {{type: t}}}}\n{chain}")),
    ];
    for (name, yaml) in cases {
        assert!(yaml.len() <= 1_048_576, "{name} fits into a file");
        let began = tokio::time::Instant::now();
        let found = Compiled::load(&source(&yaml)).map_or_else(|report| report.findings.len(), |_| 0);
        let took = began.elapsed();
        println!("{name}: {took:?}, {found} findings");
        assert!(found <= 100, "{name}: {found} findings");
        assert!(took.as_secs() < 10, "{name}: {took:?}");
    }
}

#[test]
fn a_step_waits_on_the_outcome_topic_for_a_week_and_says_so_once_a_day_unless_it_says_otherwise() {
    let yaml = format!(
        "{HEAD}defaults: {{timeout: 3s, patience: 9s}}\nsteps:\n  w: {{wait: {{}}}}\n  a: {{wait: {{for: approval, type: t.asked, data: {{id: \"${{trigger.data.id}}\"}}}}, patience: 1h, after: [w]}}\n"
    );
    let plan = Compiled::load(&source(&yaml)).unwrap();
    let [waits, approval] = &plan.definition().steps[..] else { panic!("two steps") };
    let told = |step: &Step| (step.waits, step.kind, step.command_type.to_string(), step.timeout_ms, step.patience_ms);
    let day = 86_400_000;
    let notice = "sagabus.step.waiting".to_owned();
    assert_eq!(told(waits), (Some(Wait::Signal), StepKind::ReadOnly, notice, day, 7 * day));
    let asked = "t.asked".to_owned();
    assert_eq!(told(approval), (Some(Wait::Approval), StepKind::ReadOnly, asked, 3_600_000, 3_600_000));
    assert_eq!([&*waits.command_topic, &*approval.command_topic], ["t.events", "t.events"]);
}

#[test]
fn a_step_that_waits_has_nothing_of_what_belongs_to_a_participant() {
    let wrong = [
        ("command: {type: t}", "waits, and has a command"),
        ("participant: p", "waits, and has a participant"),
        ("kind: retriable", "never fails although the saga still may"),
        ("compensate: none", "waits, and has a compensation"),
        ("compensation: {timeout: 3s}", "waits, and has a compensation"),
        ("kind: compensatable", "is compensatable or a pivot"),
        ("kind: pivot", "is compensatable or a pivot"),
        ("patience: 0s", "timeout 0 ms and patience 0 ms"),
        ("wait: {for: luck}", "wait.for is"),
    ];
    for (said, message) in wrong {
        // The value of `wait` where that is what is wrong.
        let wait = if said.starts_with("wait") { "" } else { "wait: {}, " };
        let found = steps(&format!("  w: {{{wait}{said}}}\n"));
        assert!(found.iter().any(|found| found.contains(message)), "{said}: {found:#?}");
    }
    assert_eq!(steps("  w: {kind: readOnly}\n"), ["step w neither commands nor waits"]);
    let behind = "  p: {kind: pivot, command: {type: t}}\n  w: {after: [p], wait: {for: approval}}\n";
    assert!(steps(behind).iter().any(|found| found.contains("can fail, and is not before pivot")));
    assert_eq!(steps(&behind.replace("wait:", "kind: retriable, wait:")), Vec::<String>::new());
}
