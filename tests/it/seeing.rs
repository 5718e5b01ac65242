//! What operators read of what moves, of many parked messages and of dead letters: kept outputs, without a database, a broker or a clock.

use std::collections::BTreeMap;

use sagabus::cli::render;
use sagabus::core::{Action, Rules, Timestamp};
use sagabus::operations::{
    self, CommandLag, CommandPartition, DlqReport, InputLag, LagReport, LetterJson, LetterOutcome, LetterShown, Moment,
    OldestJson, SweepGroup, SweepReason, SweepShown, Swept, TimeFormat, Times, TopDefinition, TopInputs, TopJson,
};
use serde::Serialize;
use uuid::Uuid;

use super::console::golden;
use super::given::{Driven, Plain, TRADE, refusal, success};

fn at(seconds: i64) -> Moment {
    Moment(Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000))
}

fn times() -> Times {
    Times { format: TimeFormat::Relative, now: at(962).0 }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn input(topic: &str, partition: i32, carries: &'static str, state: &'static str, next: i64, end: i64) -> InputLag {
    InputLag {
        topic: topic.to_owned(),
        partition,
        carries: vec![carries],
        state,
        next: Some(next),
        low: Some(0),
        end: Some(end),
        behind: Some(end - next),
        stopped_because: (state == "stopped").then(|| "offset 900 is outside the log, which holds 0 to 14".to_owned()),
    }
}

#[test]
fn who_is_behind_is_told_by_partition_and_by_group() {
    let unread = InputLag { next: None, ..input("orders.events", 2, "triggers", "unread", 0, 4) };
    let partition = |partition, committed: Option<i64>, end| {
        let behind = end - committed.unwrap_or(0);
        CommandPartition { partition, committed, low: 0, end, behind }
    };
    let reader = CommandLag {
        topic: "clearing.commands".to_owned(),
        participants: vec!["clearing".to_owned()],
        group: Some("clearing-svc".to_owned()),
        state: Some("Empty".to_owned()),
        members: 0,
        behind: 412,
        partitions: vec![partition(0, Some(88), 500), partition(1, Some(7), 7)],
    };
    let nobody = CommandLag {
        topic: "risk.commands".to_owned(),
        participants: vec!["fraud".to_owned(), "risk".to_owned()],
        group: None,
        state: None,
        members: 0,
        behind: 3,
        partitions: vec![partition(0, None, 3)],
    };
    let report = LagReport {
        inputs: vec![
            input("orders.events", 0, "triggers", "reading", 10, 10),
            input("orders.events", 1, "triggers", "stopped", 12, 14),
            unread,
            input("trade.replies", 0, "replies", "reading", 40, 52),
        ],
        commands: Some(vec![reader, nobody]),
        notes: vec!["there is no topic order.commands: sagabus topics ensure makes it".to_owned()],
    };
    golden("lag", &render::lag(&report));
    golden("lag_json", &json(&report));
    golden("lag_only_behind", &render::lag(&report.only_behind()));
    golden("lag_unknown", &render::lag(&LagReport::default()));
}

#[test]
fn how_it_goes_is_told_at_a_glance() {
    let definition = TopDefinition {
        definition: "trade-settlement".to_owned(),
        open: BTreeMap::from([("running", 12), ("stuck", 2)]),
        ended: BTreeMap::from([("completed", 311), ("compensated", 4)]),
        began_per_second: 32.0,
        ended_per_second: 31.5,
        oldest: Some(OldestJson { business_key: "order-7".to_owned(), phase: "running", started_at: at(0) }),
    };
    let quiet = TopDefinition { definition: "order".to_owned(), ..TopDefinition::default() };
    let topics = BTreeMap::from([("orders.events".to_owned(), 400), ("trade.replies".to_owned(), 12)]);
    let seen = TopJson {
        at: at(962),
        writers_alive: 2,
        writers_silent: 1,
        parked: 3,
        stuck: 2,
        held: Vec::new(),
        inputs: Some(TopInputs { behind: 412, stopped: 1, topics }),
        inputs_unknown: None,
        lately_seconds: 10,
        definitions: vec![quiet, definition],
    };
    golden("top", &format!("{}\n\n{}", render::top_head(&seen), render::top_body(&seen, times())));
    golden("top_json", &json(&seen));
    let alone = TopJson { inputs: None, ..seen.clone() };
    let held = vec!["participant risk".to_owned(), "step trade-settlement/mail".to_owned()];
    let away = TopJson { held, inputs: None, inputs_unknown: Some("the broker does not answer".to_owned()), ..seen };
    golden("top_heads", &format!("{}\n{}", render::top_head(&alone), render::top_head(&away)));
}

#[test]
fn a_saga_that_is_watched_is_told_row_by_row_and_as_a_whole() {
    let mut saga = Driven::start(TRADE);
    saga.succeed("order clearing notification");
    saga.reply("risk", Action::Do, 1, refusal());
    saga.reply("notification", Action::Undo, 1, success());
    saga.reply("clearing", Action::Undo, 1, refusal());
    saga.now = saga.now.plus_millis(962_000);
    let times = Times { format: TimeFormat::Relative, now: saga.now };
    let rows = operations::history(&saga.definition, &saga.journal);
    let told: Vec<String> = rows.iter().map(|row| render::row(row, times)).collect();
    golden("watch", &told.join("\n"));
    let rules = Rules { definition: &saga.definition, render: &Plain, held: &[] };
    let explanation = operations::explain(rules, &saga.saga, &saga.journal, &[], times);
    let shown = operations::Shown {
        saga: operations::listed_saga(&saga.definition, &saga.saga),
        summary: explanation.sentence.clone(),
        steps: operations::steps(&saga.definition, &saga.saga),
        journal: rows,
    };
    let (head, body) = (render::watched_head(&shown), render::watched_body(&shown, &explanation, times));
    golden("watch_drawn", &format!("{head}\n{body}"));
}

#[test]
fn many_parked_messages_are_shown_before_and_after() {
    let group = |topic: &str, reason: &str, messages| SweepGroup {
        topic: topic.to_owned(),
        reason: reason.to_owned(),
        messages,
    };
    let reason = |reason: &str, messages, sample| SweepReason { reason: reason.to_owned(), messages, sample };
    let refused = vec![
        reason("entered the line 3 times or more in vain (--force goes on)", 1, 17),
        reason("an earlier one of the same key waits", 4, 18),
    ];
    let shown = SweepShown {
        chosen: 305,
        is_cut: true,
        would: vec![
            group("orders.events", "malformed: trigger-data", 280),
            group("trade.replies", "orphan: unknown-saga", 20),
        ],
        refused: refused.clone(),
    };
    golden("sweep", &render::sweep(&shown, "redrive"));
    golden("sweep_json", &json(&shown));
    let swept = Swept {
        chosen: 305,
        redriven: 290,
        parked_again: 10,
        refused: 5,
        verdicts: BTreeMap::from([("applied", 288), ("duplicate", 2), ("malformed", 10)]),
        again: vec![reason("malformed: trigger-data", 10, 23)],
        refusals: refused,
    };
    golden("swept", &render::swept(&swept));
    golden("swept_json", &json(&swept));
}

fn letter() -> LetterJson {
    LetterJson {
        topic: "clearing.dead-letters".to_owned(),
        partition: 3,
        offset: 88_123,
        written_at: at(60),
        key: Some("order-7".to_owned()),
        original_topic: Some("clearing.commands".to_owned()),
        original_partition: Some(1),
        original_offset: None,
        saga_id: Some(Uuid::from_u128(7)),
        step: Some("clearing".to_owned()),
        action: Some("undo".to_owned()),
        error: Some("no such account\u{1b}[31m".to_owned()),
    }
}

#[test]
fn dead_letters_are_listed_shown_and_told_what_becomes_of_them() {
    let stranger = LetterJson {
        offset: 88_124,
        key: None,
        original_topic: None,
        original_partition: None,
        saga_id: None,
        step: None,
        action: None,
        error: None,
        ..letter()
    };
    let listed = [letter(), stranger];
    golden("dlq_list", &render::letters(&listed, times()));
    golden("dlq_list_json", &json(&listed));
    let headers = r#"[["ce_id","7"],["kafka_dlt-original-partition",{"hex":"00000001"}],["none",null]]"#;
    let shown = LetterShown {
        listed: letter(),
        is_whole: false,
        headers: serde_json::from_str(headers).unwrap(),
        value: Some("{\"amount\":7}".to_owned()),
    };
    golden("dlq_show", &render::letter_shown(&shown, times()));
    golden("dlq_show_json", &json(&shown));
    let outcome = |offset, outcome, what: &str, verdict, message: Option<&str>| LetterOutcome {
        partition: 3,
        offset,
        outcome,
        what: what.to_owned(),
        verdict,
        message: message.map(str::to_owned),
    };
    let foreign = "it is no command of ours, and no header tells which topic it came from";
    let report = DlqReport {
        republished: 1,
        entered: 1,
        covered: 1,
        refused: 1,
        is_cut: false,
        letters: vec![
            outcome(88_123, "republished", "undo of clearing, attempt 1, of order-7", None, None),
            outcome(88_124, "covered", "command 7d0cbe7d-f271-8640-9573-580600030002", None, None),
            outcome(88_125, "entered", "for orders.events", Some("applied"), None),
            outcome(88_126, "refused", "unknown", None, Some(foreign)),
        ],
    };
    golden("dlq_redrive", &render::mailbag(&report));
    golden("dlq_redrive_json", &json(&report));
}
