//! What the rules decide, written down: histories of sagas that together meet each situation that a long search found. A journal of an
//! older version must be decided as it was then (`replay run`), so a line that changes here is a decision that somebody has to want.
//!
//! `UPDATE_GOLDEN=1` searches again and writes `tests/golden/histories.txt` anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use sagabus::core::{
    Action, Answer, Decision, Effect, Fact, Input, Json, Operation, Outcome, Render, RenderError, Reply, Resolution,
    Rules, Saga, StepIx, Timestamp, Transition, Trigger, Verb, command_id, decide, effects, fold, issue_all, next_due,
    outstanding, ready, step_state_name,
};
use uuid::Uuid;

use super::given::{Driven, Plain, answer};

const GOLDEN: &str = "tests/golden/histories.txt";

const SHAPES: [&str; 6] = [
    "a; b after a",
    "a; b after a; c after a; d after b,c pivot; e after d retriable",
    "a readOnly; b skip; c after a,b; d after c pivot; e after d retriable; f after e pivot",
    "a; b after a retriable; c after b skip",
    "a retriable; b after a pivot; c after b pivot",
    "a skip; b; c after a,b readOnly; d after c",
];

/// Data and answers that say `bad` are refused, as an expression or a schema would.
#[derive(Debug)]
struct Strict;

impl Render for Strict {
    fn data(&self, saga: &Saga, step: StepIx, action: Action) -> Result<Json, RenderError> {
        let data = Plain.data(saga, step, action)?;
        if data.get().contains("bad") {
            return Err(RenderError { code: "saga.expression", message: "bad data".to_owned() });
        }
        Ok(data)
    }

    fn check_reply(&self, _step: StepIx, data: &Json) -> Result<(), String> {
        if data.get().contains("bad") { Err("bad reply".to_owned()) } else { Ok(()) }
    }
}

/// Chance without a crate: what is written down must not depend on one.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())].clone()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

/// An input, and how it is written.
fn input(chance: &mut Chance, saga: &mut Driven) -> (String, Input) {
    let place = StepIx(u16::try_from(chance.below(saga.definition.steps.len())).unwrap());
    match chance.below(20) {
        0..11 => reply(chance, saga, place),
        11..15 => timer(chance, saga),
        15..18 => operation(chance, saga, place),
        18 => undeliverable(chance, saga, place),
        _ => {
            let other = chance.one_in(2);
            let data = if other { json("[]") } else { saga.saga.trigger.data.clone() };
            (format!("trigger {other}"), Input::Trigger(Trigger { data, ..(*saga.saga.trigger).clone() }))
        }
    }
}

fn reply(chance: &mut Chance, saga: &Driven, place: StepIx) -> (String, Input) {
    let waiting: Vec<(StepIx, Action, u16)> = outstanding(&saga.saga).collect();
    let (step, action, attempt) = if waiting.is_empty() || chance.one_in(3) {
        (place, chance.pick(&[Action::Do, Action::Undo]), u16::try_from(1 + chance.below(4)).unwrap())
    } else {
        chance.pick(&waiting)
    };
    let (what, answer) = match chance.below(12) {
        0..5 => ("ok", answer(Outcome::Success, None, false, "{}")),
        5 => ("other", answer(Outcome::Success, None, false, "[1]")),
        6 => ("bad", answer(Outcome::Success, None, false, "\"bad\"")),
        7 | 8 => ("no", answer(Outcome::Failure, Some("NO"), false, r#"{"message":"no"}"#)),
        9 => ("busy", answer(Outcome::Failure, Some("BUSY"), true, "{}")),
        10 => ("conflict", answer(Outcome::Failure, Some(Answer::CONFLICT), false, "{}")),
        _ => ("progress", answer(Outcome::Progress, None, false, "{}")),
    };
    let elsewhere = chance.one_in(40);
    let topic = if elsewhere { Arc::from("elsewhere") } else { Arc::clone(&saga.definition.reply_topic) };
    let command_id = command_id(saga.saga.id, step, action, attempt);
    let text =
        format!("{what} {}{attempt} {}{}", action.name(), name(saga, step), if elsewhere { " elsewhere" } else { "" });
    (text, Input::Reply(Reply { topic, saga_id: saga.saga.id, command_id, answer }))
}

fn timer(chance: &mut Chance, saga: &mut Driven) -> (String, Input) {
    let due = next_due(&saga.definition, &saga.saga).map_or(0, |at| at.millis_since(saga.now));
    let millis = chance.pick(&[0, due, due, due, due.saturating_sub(1), due + 1, 1_000, 6_000]);
    saga.now = saga.now.plus_millis(millis);
    let replies_read_until = if chance.one_in(4) { Timestamp::ZERO } else { saga.now };
    let acknowledged = !chance.one_in(6);
    let read = replies_read_until == saga.now;
    (format!("+{millis} read {read} acknowledged {acknowledged}"), Input::Timer { replies_read_until, acknowledged })
}

fn operation(chance: &mut Chance, saga: &Driven, place: StepIx) -> (String, Input) {
    let step = if chance.one_in(30) { "nobody".to_owned() } else { name(saga, place) };
    let data = json(chance.pick(&["{}", "{}", "\"bad\"", "[2]"]));
    let outcome = chance.pick(&[Resolution::Done, Resolution::Undone, Resolution::Left]);
    let verb = match chance.below(14) {
        0 => Verb::Republish { step },
        1 => Verb::Retry { step: chance.pick(&[Some(step), None]), force: chance.one_in(2) },
        2 => Verb::Edit { step, data },
        3 => Verb::Skip { step, reply: chance.pick(&[Some(data), None]) },
        4 => Verb::Complete { step, reply: data },
        5 => Verb::Fail { step, code: "BY_HAND".into() },
        6 => Verb::Compensate,
        7 => Verb::Cancel,
        8 => Verb::Pause,
        9 | 10 => Verb::Resume,
        11 | 12 => Verb::Resolve { step, outcome },
        _ if chance.one_in(3) => Verb::Abandon,
        _ => Verb::Resume,
    };
    let expect_seq = chance.one_in(10).then(|| saga.saga.seq - u32::from(chance.one_in(2)));
    let text = serde_json::to_string(&verb).unwrap();
    let text = expect_seq.map_or(text.clone(), |seq| format!("{text} at {seq}"));
    let operation = Operation { id: Uuid::nil(), verb, who: "ada".into(), reason: "r".into(), expect_seq };
    (text, Input::Operation(operation))
}

fn undeliverable(chance: &mut Chance, saga: &Driven, place: StepIx) -> (String, Input) {
    let waiting: Vec<(StepIx, Action, u16)> = outstanding(&saga.saga).collect();
    let (step, action, attempt) = if waiting.is_empty() { (place, Action::Do, 1) } else { chance.pick(&waiting) };
    let code = chance.pick(&["saga.undeliverable", "saga.rendering"]);
    let text = format!("{code} {}{attempt} {}", action.name(), name(saga, step));
    (text, Input::Undeliverable { step, action, attempt, code: code.into(), message: "m".to_owned() })
}

fn name(saga: &Driven, step: StepIx) -> String {
    saga.definition.step(step).name.to_string()
}

/// A fact in few words: its kind, and what it says but for answers and messages.
fn told(saga: &Driven, fact: &Fact) -> String {
    let tree: serde_json::Value = serde_json::to_value(fact).unwrap();
    let Some((kind, said)) = tree.as_object().and_then(|members| members.iter().next()) else {
        return tree.as_str().unwrap_or_default().to_owned();
    };
    let mut text = kind.clone();
    for (member, value) in said.as_object().into_iter().flatten() {
        match (member.as_str(), value) {
            ("step", serde_json::Value::Number(place)) => {
                let place = StepIx(u16::try_from(place.as_u64().unwrap()).unwrap());
                write!(text, " {}", name(saga, place)).unwrap();
            }
            ("at", serde_json::Value::Number(at)) => {
                let at = Timestamp::from_micros(at.as_i64().unwrap());
                write!(text, " +{}", at.micros() - saga.now.micros()).unwrap();
            }
            ("action" | "phase" | "kind" | "code", serde_json::Value::String(word)) => write!(text, " {word}").unwrap(),
            ("attempt" | "millis" | "unanswered" | "cause", value) => write!(text, " {value}").unwrap(),
            (_, _) => {}
        }
    }
    text
}

fn sent(saga: &Driven, effect: &Effect) -> String {
    match effect {
        Effect::Command(command) => {
            let expires = command.expires_at.map(|at| at.millis_since(saga.now));
            let age = saga.now.millis_since(command.decided_at);
            let (step, action, attempt) = (&command.step_name, command.action.name(), command.attempt);
            format!(
                "{action}{attempt} {step} to {} as {} since {age} until {expires:?} by {}",
                command.topic, command.kind, command.cause
            )
        }
        Effect::Announcement(announcement) => {
            let error = announcement.error.as_ref().map(|error| error.code.to_string());
            format!("event {} {error:?} row {}", announcement.phase, announcement.seq)
        }
    }
}

/// One move: the input, what was decided, what is sent, how the saga stands.
fn step(chance: &mut Chance, saga: &mut Driven, story: &mut String) -> String {
    let (text, input) = input(chance, saga);
    let before = situation(saga);
    let decision = {
        let rules = Rules { definition: &saga.definition, render: &Strict, held: &[] };
        issue_all(rules, decide(rules, &saga.saga, &input, saga.now))
    };
    if !decision.facts.is_empty() {
        saga.journal.push(Transition { now: saga.now, facts: decision.facts.clone() });
    }
    saga.saga = decision.saga.clone();
    let folded = fold(&saga.definition, saga.saga.id, &saga.journal).unwrap();
    assert_eq!(folded, saga.saga, "the fold of the journal is the saga");
    tell(saga, &text, &decision, story);
    let code = decision.refusal.as_ref().map_or("", |refusal| refusal.code);
    let kind: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
    let first = decision.facts.iter().take(3).map(|fact| told(saga, fact));
    let facts: Vec<String> = first.map(|fact| fact.split(' ').next().unwrap_or_default().to_owned()).collect();
    format!("{before} {} {code} {}", kind.split(' ').next().unwrap_or_default(), facts.join(","))
}

fn tell(saga: &Driven, text: &str, decision: &Decision, story: &mut String) {
    let refusal = decision.refusal.as_ref().map_or(String::new(), |refusal| format!(" {}", refusal.code));
    writeln!(story, "{text} => {}{refusal}", decision.verdict.name()).unwrap();
    if let Some(refusal) = decision.refusal.as_ref().filter(|refusal| !refusal.can.is_empty()) {
        writeln!(story, "  can {}", refusal.can.join(" ")).unwrap();
    }
    if decision.facts.is_empty() {
        return;
    }
    let facts: Vec<String> = decision.facts.iter().map(|fact| told(saga, fact)).collect();
    writeln!(story, "  {}", facts.join("; ")).unwrap();
    let rules = Rules { definition: &saga.definition, render: &Strict, held: &[] };
    for effect in effects(rules, &saga.saga, saga.saga.seq, saga.now, &decision.facts, &[]) {
        let effect = effect.map_or_else(|differs| format!("{differs}"), |effect| sent(saga, &effect));
        writeln!(story, "  > {effect}").unwrap();
    }
    writeln!(story, "  = {}", stands(saga)).unwrap();
}

fn stands(saga: &Driven) -> String {
    let due = next_due(&saga.definition, &saga.saga).map(|at| (at.micros() - saga.now.micros()) / 1_000);
    let steps: Vec<&str> = saga.saga.steps.iter().map(|state| step_state_name(state).name()).collect();
    let due = due.map_or("-".to_owned(), |due| format!("+{due}"));
    let left = ready(&saga.saga).count();
    format!("{} {due} {}{}", saga.saga.phase, steps.join(" "), if left > 0 { " ready" } else { "" })
}

/// What tells one situation from another.
fn situation(saga: &Driven) -> String {
    let Saga { phase, turned, wish, blocks, .. } = &saga.saga;
    let block = blocks.first().map(|block| (block.action, block.kind));
    format!("{phase} {} {} {block:?}", turned.is_some(), wish.is_some())
}

/// The history of this shape and seed: its text, and what each move showed.
fn history(shape: usize, seed: u64, length: usize) -> (String, Vec<String>) {
    let mut saga = Driven::start(SHAPES[shape]);
    let mut chance = Chance(seed.wrapping_mul(SHAPES.len() as u64) + shape as u64);
    let mut story = String::new();
    let shown = (0..length).map(|_| step(&mut chance, &mut saga, &mut story)).collect();
    (story, shown)
}

/// Searches for histories in which much is new, and keeps them to the last move that is.
fn search() -> String {
    let mut seen = BTreeSet::new();
    let mut text = String::new();
    for enough in [24, 16] {
        for (seed, shape) in (0..500).flat_map(|seed| (0..SHAPES.len()).map(move |shape| (seed, shape))) {
            let (_, shown) = history(shape, seed, 40);
            let new: BTreeSet<&String> = shown.iter().filter(|one| !seen.contains(*one)).collect();
            if new.len() >= enough {
                let length = 1 + shown.iter().rposition(|one| new.contains(one)).unwrap();
                let (story, _) = history(shape, seed, length);
                writeln!(text, "## {shape} {seed} {length}: {}\n{story}", SHAPES[shape]).unwrap();
                seen.extend(shown);
            }
        }
    }
    text
}

#[test]
fn the_rules_decide_as_they_did() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all("tests/golden").unwrap();
        std::fs::write(GOLDEN, search()).unwrap();
    }
    let kept = std::fs::read_to_string(GOLDEN).unwrap();
    let mut count = 0;
    for kept in kept.split("## ").filter(|kept| !kept.is_empty()) {
        let (head, story) = kept.split_once('\n').unwrap();
        let numbers = head.split([' ', ':']).take(3).map(|number| number.parse::<u64>().unwrap());
        let [shape, seed, length] = numbers.collect::<Vec<_>>()[..] else { panic!("{head}") };
        let place = |number: u64| usize::try_from(number).unwrap();
        let (now, _) = history(place(shape), seed, place(length));
        let differs = now.lines().zip(story.lines()).find(|(now, kept)| now != kept);
        assert!(now.trim() == story.trim(), "history {head}: (now, then) {differs:#?}\nthe whole history:\n{now}");
        count += 1;
    }
    assert!(count > 50, "only {count} histories are kept");
}
