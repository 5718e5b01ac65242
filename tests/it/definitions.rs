//! Definition files: the examples are right, what is wrong is said at once and all of it, hostile files are refused quickly.

use std::path::{Path, PathBuf};

use sagabus::definition::{Compiled, Source, json_schema, lint_files, read_folder};

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
        "  a: {comand: 1, command: {type: a}}\n  b: {after: [x], command: {type: b}, compensate: {type: b}, timeout: 5}\n",
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
