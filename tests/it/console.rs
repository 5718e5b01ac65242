//! What operators read, over sagas driven by hand: kept outputs, without a database, a terminal or a clock.

use sagabus::cli::render;
use sagabus::core::{Action, Operation, Phase, Resolution, Rules, Sha256, Timestamp, Verb, next_due};
use sagabus::operations::{
    self, DryRun, Explanation, FoundJson, GateKind, GraphFormat, Moment, ParkedJson, ParkedShown, RedriveJson,
    RedrivenJson, ReplayReport, ReplayedJson, TimeFormat, Times,
};
use sagabus::store::{HoldRow, HoldTarget};
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
    let rules = Rules { definition: &saga.definition, render: &Plain, held: &[] };
    operations::explain(rules, &saga.saga, &saga.journal, &[], times(saga))
}

fn tried(saga: &Driven, verb: Verb, expect_seq: Option<u32>) -> DryRun {
    let rules = Rules { definition: &saga.definition, render: &Plain, held: &[] };
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
fn a_step_that_was_done_after_a_person_had_failed_it_is_told_among_those_that_are_applied() {
    let mut saga = Driven::start(TRADE);
    saga.succeed("order clearing");
    ask(&mut saga, Verb::Fail { step: "notification".into(), code: "BY_HAND".into() });
    assert_eq!(explained(&saga).applied, ["order", "clearing"]);
    saga.reply("notification", Action::Do, 1, success());
    assert_eq!(explained(&saga).applied, ["order", "clearing", "notification"]);
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
    let mut saga = Driven::start("a; b after a approval; c after b pivot; d after c signal retriable");
    saga.succeed("a");
    saga.now = saga.now.plus_millis(400);
    tell("waiting for an approval", &saga);
    saga.succeed("b c");
    tell("waiting for a signal, behind the pivot", &saga);
    let mut saga = Driven::start("a; b after a");
    saga.succeed("a");
    saga.reply("b", Action::Do, 1, refusal());
    tell("undoing", &saga);
    saga.reply("a", Action::Undo, 1, success());
    tell("ended", &saga);
    let mut saga = Driven::start("a");
    saga.pass(1_000);
    let (target, since) = (HoldTarget::Participant("a".into()), saga.now);
    let hold = HoldRow { id: 3, target, since, who: "ada".into(), reason: "maintenance".into() };
    saga.held = vec![Some(since)];
    saga.pass(60_000);
    let rules = Rules { definition: &saga.definition, render: &Plain, held: &saga.held };
    let held = operations::explain(rules, &saga.saga, &saga.journal, &[hold], times(&saga));
    told.push(format!("held:\n  {}", held.sentence));
    golden("sentences", &told.join("\n"));
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[test]
fn an_explanation_lists_every_gate() {
    let mut saga = Driven::start(TRADE);
    saga.succeed("order");
    saga.pass(1_100);
    let explanation = explained(&saga);
    golden("explain", &render::explanation(&explanation, times(&saga)));
    let saga = stuck();
    let explanation = explained(&saga);
    golden("explain_stuck", &render::explanation(&explanation, times(&saga)));
    let rules = Rules { definition: &saga.definition, render: &Plain, held: &[] };
    golden(
        "explain_stuck_json",
        &json(&operations::explain(rules, &saga.saga, &saga.journal, &[], Times::iso(saga.now))),
    );
    let kinds: Vec<GateKind> = explanation.gates.iter().map(|gate| gate.gate).collect();
    assert_eq!(kinds, [GateKind::Stuck, GateKind::UndoOrder]);
}

#[test]
fn a_saga_at_a_glance_is_found_with_what_can_be_done() {
    let saga = stuck();
    let glance = operations::found_saga(&saga.definition, &saga.saga, &saga.journal, explained(&saga));
    let found = FoundJson { sagas: vec![glance], parked: Vec::new() };
    golden("find", &render::found(&found, times(&saga)));
    golden("find_json", &json(&found));
}

fn parked() -> ParkedShown {
    let at = |seconds: i64| Moment(Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000));
    let listed = ParkedJson {
        id: 17,
        topic: "orders.events".to_owned(),
        partition: 2,
        offset: 88_123,
        reason: "malformed: trigger-data: \"amount\" is not of type \"number\"".to_owned(),
        key: Some("account-1".to_owned()),
        parked_at: at(60),
        state: "parked",
    };
    let headers = r#"[["ce_type","order.accepted"],["ce_id",null],["raw",{"hex":"00ff"}]]"#;
    let again = RedriveJson {
        verb: "redrive".to_owned(),
        who: "ada".to_owned(),
        reason: "they have mended it".to_owned(),
        requested_at: at(600),
        verdict: Some("malformed"),
        message: Some("malformed: trigger-data".to_owned()),
    };
    ParkedShown {
        listed,
        written_at: at(0),
        is_whole: true,
        headers: serde_json::from_str(headers).unwrap(),
        value: Some("{\"amount\":\"7\u{1b}[31m\"}".to_owned()),
        redrives: vec![again],
    }
}

#[test]
fn a_parked_message_is_shown_with_its_past_and_what_became_of_it() {
    let times = Times { format: TimeFormat::Relative, now: Timestamp::from_millis(1_700_000_962_000) };
    let shown = parked();
    golden("parked_show", &render::parked_shown(&shown, times));
    golden("parked_show_json", &json(&shown));
    golden("parked", &render::parked(&[shown.listed]));
    let judged = |id, verdict, message: Option<&str>| RedrivenJson {
        id,
        verdict,
        message: message.map(str::to_owned),
        stays_parked: message.is_some(),
    };
    let all =
        [judged(17, "applied", None), judged(18, "malformed", Some("malformed: no-value: the record has no value"))];
    golden("redriven", &render::redriven(&all));
    golden("redriven_json", &json(&all.to_vec()));
}

#[test]
fn what_was_decided_again_is_summed_up() {
    let replayed = |outcome, seq, recorded: Option<&str>, decided: Option<&str>| ReplayedJson {
        saga_id: Uuid::nil(),
        business_key: "key".to_owned(),
        outcome,
        seq,
        recorded: recorded.map(str::to_owned),
        decided: decided.map(str::to_owned),
    };
    let sagas = vec![
        replayed("differs", Some(3), Some("do risk attempt 1 with data 59ad3e88"), Some("nothing of the kind")),
        replayed("cannot", None, None, Some("payloads are masked: export with --reveal")),
    ];
    let report = ReplayReport { same: 8, differs: 1, cannot: 1, digest: Sha256::of(b"x"), sagas };
    golden("replayed", &render::replayed(&report));
    golden("replayed_json", &json(&report));
}

#[test]
fn a_journal_is_read_whole_or_only_where_something_went_wrong() {
    let saga = stuck();
    let rows = operations::history(&saga.definition, &saga.journal);
    golden("history", &render::history(&rows, times(&saga)));
    let failed = operations::failed_only(&saga.definition, &saga.journal);
    golden("history_failed", &render::history(&failed, Times::iso(saga.now)));
    golden("history_failed_json", &json(&failed));
}

#[test]
fn what_went_wrong_is_listed_and_grouped() {
    let mut undone = Driven::start(TRADE);
    undone.succeed("order");
    undone.reply("clearing", Action::Do, 1, refusal());
    let all: Vec<_> = [stuck(), stuck(), undone, Driven::start(TRADE)]
        .iter()
        .flat_map(|saga| {
            let rules = Rules { definition: &saga.definition, render: &Plain, held: &[] };
            operations::troubles(rules, &saga.saga, &saga.journal, saga.now)
        })
        .collect();
    let groups = operations::groups(&all);
    golden("stuck", &render::troubles(&all, times(&stuck())));
    golden("stuck_json", &json(&all));
    golden("failures", &render::failures(&groups, times(&stuck())));
    golden("failures_json", &json(&groups));
    assert!(all.iter().any(|trouble| operations::group_id(trouble) == groups[0].id));
}

#[test]
fn a_saga_is_drawn_as_a_graph_and_over_time() {
    let mut saga = Driven::start(TRADE);
    let mut answer = |millis: u64, step: &str, action, attempt, answer| {
        saga.now = saga.now.plus_millis(millis);
        saga.reply(step, action, attempt, answer);
    };
    answer(200, "order", Action::Do, 1, success());
    answer(100, "notification", Action::Do, 1, success());
    answer(300, "clearing", Action::Do, 1, success());
    answer(200, "risk", Action::Do, 1, refusal());
    answer(100, "notification", Action::Undo, 1, success());
    answer(400, "clearing", Action::Undo, 1, success());
    saga.now = saga.now.plus_millis(100);
    for (name, format) in [("ascii", GraphFormat::Ascii), ("mermaid", GraphFormat::Mermaid), ("dot", GraphFormat::Dot)]
    {
        golden(&format!("graph_{name}"), &operations::graph(&saga.definition, &saga.saga, format));
    }
    let bars = operations::timeline(&saga.definition, &saga.journal);
    golden("timeline", &render::timeline(&bars, saga.now));
    golden("timeline_json", &json(&bars));
}

#[test]
fn two_histories_are_compared_without_ids_and_moments() {
    let mut well = Driven::start("a; b after a");
    well.succeed("a b");
    let mut ill = Driven::start("a; b after a");
    ill.now = ill.now.plus_millis(5_000);
    ill.succeed("a");
    ill.reply("b", Action::Do, 1, refusal());
    let of =
        |saga: &Driven| operations::diff_histories((&saga.definition, &saga.journal), (&ill.definition, &ill.journal));
    golden("diff", &render::difference(&of(&well)));
    assert!(of(&ill).iter().all(|line| line.side == "both"));
}

#[test]
fn lists_are_printed() {
    let saga = stuck();
    let listed = [operations::listed_saga(&saga.definition, &saga.saga)];
    golden("list", &render::sagas(&listed, times(&saga)));
    golden("list_json", &json(&listed));
    let counts = [(3, Phase::Completed), (1, Phase::Stuck)].map(|(sagas, phase)| operations::CountJson {
        definition: "trade".into(),
        phase: phase.name(),
        sagas,
    });
    golden("count", &render::counts(&counts));
    golden("count_json", &json(&counts));
}

/// Sagas that chance drives: each open one waits for something that is told, and its gates know when something happens next.
#[test]
fn no_open_saga_is_explained_as_a_defect_and_the_next_moment_is_the_one_that_wakes_it() {
    let shapes = [TRADE, "a; b after a", "a readOnly; b skip; c after a,b; d after c pivot; e after d retriable"];
    let mut chance = fastrand::Rng::with_seed(6);
    let mut looked = 0;
    for round in 0..600 {
        let mut saga = Driven::start(shapes[round % shapes.len()]);
        for _ in 0..chance.usize(1..25) {
            move_on(&mut saga, &mut chance);
            let explanation = explained(&saga);
            if saga.saga.is_final() {
                continue;
            }
            looked += 1;
            assert!(!explanation.gates.is_empty(), "{}: {:?}", explanation.sentence, saga.saga);
            let next = explanation.gates.iter().flat_map(|gate| &gate.next).map(|next| next.at.0).min();
            assert_eq!(next, next_due(&saga.definition, &saga.saga), "{:?}", explanation.gates);
        }
    }
    assert!(looked > 3_000, "{looked}");
}

fn move_on(saga: &mut Driven, chance: &mut fastrand::Rng) {
    let step = saga.definition.steps[chance.usize(0..saga.definition.steps.len())].name.to_string();
    let answers = [success(), success(), success(), refusal(), busy(), conflict()];
    match chance.usize(0..10) {
        0..6 => {
            let action = if chance.bool() { Action::Do } else { Action::Undo };
            let answer = answers[chance.usize(0..answers.len())].clone();
            saga.reply(&step, action, chance.u16(1..3), answer);
        }
        6..8 => _ = saga.pass(chance.u64(50..3_000)),
        _ => {
            let verbs = [
                Verb::Pause,
                Verb::Resume,
                Verb::Cancel,
                Verb::Retry { step: None, force: false },
                Verb::Skip { step: step.clone(), reply: None },
                Verb::Resolve { step, outcome: Resolution::Undone },
            ];
            ask(saga, verbs[chance.usize(0..verbs.len())].clone());
        }
    }
}

#[test]
fn steps_that_wait_are_listed_and_one_that_cannot_be_read_is_among_them() {
    let at = |millis: u64| Driven::start("a").now.plus_millis(millis).to_string();
    let rows = serde_json::json!([
        {"sagaId": "018bcfe5-6800-7000-8000-000000000001", "definition": "refund", "businessKey": "order-7", "step": "approval",
         "waitsFor": "approval", "since": at(0), "until": at(90_000), "asked": {"amount": 12}, "problem": null},
        {"sagaId": "018bcfe5-6800-7000-8000-000000000002", "definition": "refund", "businessKey": "order-8", "step": "goodsBack",
         "waitsFor": "signal", "since": at(1_000), "until": null, "asked": {}, "problem": null},
        {"sagaId": "018bcfe5-6800-7000-8000-000000000003", "definition": "refund", "businessKey": "order-9", "step": null,
         "waitsFor": null, "since": at(2_000), "until": null, "asked": null, "problem": "facts cannot be read"},
    ]);
    let rows: Vec<operations::WaitingJson> = serde_json::from_value(rows).unwrap();
    golden("waiting", &render::waiting(&rows, Times::iso(Driven::start("a").now.plus_millis(60_000))));
    golden("waiting_json", &json(&rows));
}
