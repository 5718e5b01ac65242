//! What operators read, over sagas driven by hand: kept outputs, without a database, a terminal or a clock.

use sagabus::cli::render;
use sagabus::core::{Action, Operation, Rules, Verb};
use sagabus::operations::{self, DryRun, Explanation, TimeFormat, Times};
use uuid::Uuid;

use super::given::{Driven, Plain, TRADE, ask, busy, conflict, refusal, success};

/// Compares with what is kept in `tests/golden/console`; `INSTA_UPDATE=always` writes it anew.
pub(crate) fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../golden/console");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// How moments are shown in kept outputs, seen from where the saga's test stands.
fn times(saga: &Driven) -> Times {
    Times { format: TimeFormat::Relative, now: saga.now }
}

fn explained(saga: &Driven) -> Explanation {
    let rules = Rules { definition: &saga.definition, render: &Plain };
    operations::explain(rules, &saga.saga, &saga.journal, times(saga))
}

fn tried(saga: &Driven, verb: Verb, expect_seq: Option<u32>) -> DryRun {
    let rules = Rules { definition: &saga.definition, render: &Plain };
    let operation = Operation { id: Uuid::nil(), verb, who: "ada".into(), reason: "test".into(), expect_seq };
    operations::dry_run(rules, &saga.saga, &operation, saga.now)
}

/// A trade whose pivot was refused and whose clearing cannot be undone.
fn stuck() -> Driven {
    let mut saga = Driven::start(TRADE);
    saga.succeed("order clearing notification");
    saga.reply("risk", Action::Do, 1, refusal());
    saga.reply("notification", Action::Undo, 1, success());
    saga.reply("clearing", Action::Undo, 1, refusal());
    saga.now = saga.now.plus_millis(962_000);
    saga
}

#[test]
fn a_dry_run_shows_facts_and_commands_and_changes_nothing() {
    let saga = stuck();
    let before = saga.saga.clone();
    let shown = tried(&saga, Verb::Retry { step: Some("clearing".into()), force: false }, Some(before.seq));
    golden("dry_run", &render::dry_run(&shown));
    golden("dry_run_json", &serde_json::to_string_pretty(&shown).unwrap());
    assert_eq!(saga.saga, before);
    assert!(shown.check().is_ok());
}

#[test]
fn a_refusal_tells_phase_reason_and_what_can_be_done() {
    let saga = stuck();
    let shown = tried(&saga, Verb::Cancel, None);
    golden("refused", &render::dry_run(&shown));
    let failure = shown.check().unwrap_err();
    assert_eq!(failure.exit, operations::Exit::Refused);
    let moved = tried(&saga, Verb::Resume, Some(2));
    golden("changed", &render::dry_run(&moved));
    assert_eq!(moved.refusal.unwrap().code, "changed");
}

#[test]
fn a_step_that_there_is_not_is_told_with_the_one_that_was_meant() {
    let saga = stuck();
    let failure = operations::check_step(&saga.definition, "clering").unwrap_err();
    assert_eq!(failure.exit, operations::Exit::Usage);
    golden("no_such_step", &failure.to_string());
    assert!(operations::check_step(&saga.definition, "clearing").is_ok());
}

#[test]
fn each_wait_is_explained_with_its_numbers() {
    let mut told = Vec::new();
    let mut tell = |what: &str, saga: &Driven| told.push(format!("{what}:\n  {}", explained(saga).sentence));
    let mut saga = Driven::start(TRADE);
    saga.now = saga.now.plus_millis(400);
    tell("just sent", &saga);
    saga.pass(1_100);
    saga.now = saga.now.plus_millis(100);
    tell("sent again", &saga);
    saga.reply("order", Action::Do, 1, busy());
    tell("tried again later", &saga);
    saga.pass(100);
    saga.reply("order", Action::Do, 2, success());
    tell("two at once", &saga);
    saga.succeed("clearing notification");
    ask(&mut saga, Verb::Cancel);
    tell("a wish", &saga);
    ask(&mut saga, Verb::Pause);
    saga.now = saga.now.plus_millis(60_000);
    tell("paused", &saga);
    ask(&mut saga, Verb::Resume);
    saga.reply("risk", Action::Do, 1, conflict());
    tell("contradicted", &saga);
    tell("stuck", &stuck());
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    saga.reply("b", Action::Do, 1, refusal());
    tell("undoing", &saga);
    saga.reply("a", Action::Undo, 1, success());
    tell("ended", &saga);
    golden("sentences", &told.join("\n"));
}
