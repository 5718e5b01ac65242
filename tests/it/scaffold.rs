//! Scaffolded participants: what is written, what is refused, and that the examples are what the scaffold writes. Whether they keep
//! the contract is for `make participants` to show, which needs their languages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sagabus::core::Definition;
use sagabus::definition::{Compiled, Source};
use sagabus::participant::{Language, scaffold};

const TRADE: &str = "sagas/trade-settlement.saga.yaml";

fn write(language: &str, step: &str, folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sagabus"))
        .args(["participant", "scaffold", "--definition", TRADE, "--lang", language, "--step", step, "--out"])
        .arg(folder)
        .output()
        .unwrap()
}

fn fresh(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("sagabus-scaffold-{name}-{}", std::process::id()));
    _ = std::fs::remove_dir_all(&folder);
    folder
}

/// Every file below a folder, by its path in it.
fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

fn trade() -> Definition {
    Compiled::load(&Source::read(Path::new(TRADE)).unwrap()).unwrap().definition().clone()
}

#[test]
fn the_examples_are_what_the_scaffold_writes() {
    for language in Language::ALL {
        let name = language.name();
        let folder = fresh(name);
        let output = write(name, "clearing", &folder);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let example = PathBuf::from("examples/participants").join(name);
        let (written, kept) = (tree(&folder), tree(&example));
        let again = format!(
            "rm -r {0} && sagabus participant scaffold --lang {name} --definition {TRADE} --step clearing --out {0}",
            example.display()
        );
        assert_eq!(written.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>(), "write it again: {again}");
        for (file, text) in &written {
            assert!(kept[file] == *text, "{file} of {name} differs, write it again: {again}");
        }
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(written.keys().all(|file| listed.contains(file.as_str())), "every file is listed:\n{listed}");
        assert_eq!(listed.lines().count(), written.len());
        std::fs::remove_dir_all(folder).unwrap();
    }
}

#[test]
fn what_is_there_is_never_replaced_and_nothing_is_written_beside_it() {
    let folder = fresh("there");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("schema.sql"), "mine").unwrap();
    let output = write("python", "clearing", &folder);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).contains("schema.sql"), "it says what is there");
    assert_eq!(tree(&folder), BTreeMap::from([("schema.sql".to_owned(), "mine".to_owned())]));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_step_that_is_not_there_is_not_found_and_the_others_are_named() {
    let output = write("go", "clearance", &fresh("missing"));
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("order, clearing, risk"));
    assert_eq!(write("cobol", "clearing", &fresh("cobol")).status.code(), Some(2));
}

#[test]
fn a_step_without_compensation_gets_no_undo() {
    let definition = trade();
    let of = |step: &str, language: Language| -> String {
        let files = scaffold(language, &definition, definition.place_of(step).unwrap()).unwrap();
        files
            .iter()
            .filter(|file| file.path.to_lowercase().contains("handler"))
            .map(|file| file.text.as_str())
            .collect()
    };
    for language in Language::ALL {
        let (with, without) = (of("clearing", language), of("risk", language));
        assert!(with.contains("clearing.cancel") && with.contains("DELETE FROM effect"), "{language:?}");
        assert!(without.contains("risk.approve"), "{language:?}");
        assert!(!without.contains("undo") && !without.contains("DELETE"), "{language:?}:\n{without}");
    }
}

#[test]
fn nothing_of_a_template_is_left_over() {
    let definition = trade();
    for language in Language::ALL {
        for step in definition.places() {
            for file in scaffold(language, &definition, step).unwrap() {
                assert!(!file.text.contains("{%") && !file.text.contains("{{"), "{language:?}: {}", file.path);
                assert!(file.text.ends_with('\n') && !file.text.ends_with("\n\n"), "{language:?}: {}", file.path);
            }
        }
    }
}

#[test]
fn a_type_that_would_break_out_of_its_quotes_is_refused() {
    let mut definition = trade();
    let clearing = definition.place_of("clearing").unwrap();
    definition.steps[clearing.at()].command_type = "\"); system(\"".into();
    let refused = scaffold(Language::Python, &definition, clearing).unwrap_err();
    assert!(refused.to_string().starts_with("step clearing: type"), "{refused}");
}
