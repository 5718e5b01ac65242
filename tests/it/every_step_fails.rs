//! Break every step of every example, forward and in compensation: it fails, never answers, answers twice, answers late. Each saga
//! must end in the state that the rules say, with its ledger balanced.

use std::collections::BTreeMap;
use std::sync::Arc;

use sagabus::core::{Action, Definition, OnExhausted, Phase, Saga, StepIx, StepKind, Undo};
use sagabus::definition::Compiled;
use sagabus::engine::{SystemClock, wall_clock};
use sagabus::replay;
use sagabus::store::{Console, PostgresStore, SagaFilter, Stored};
use sagabus::wire::Received;

use super::support::database::TestDatabase;
use super::support::participants::{Behaviour, Participants, Script};
use super::support::world::{MemoryWorld, World, examples, fold_all, row_of};

/// Longer than the patience of a `do` (5 s) and of an undo (10 s) in the examples.
const LATE_DO: u64 = 7_000;
const LATE_UNDO: u64 = 12_000;

/// One saga of the matrix.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) definition: Arc<str>,
    pub(crate) key: String,
    /// The step that misbehaves, in which direction, and how.
    step: Arc<str>,
    action: Action,
    behaviour: Behaviour,
    /// The step that fails so that the saga turns (cases of compensation only).
    failing: Option<Arc<str>>,
}

/// Every case of every example.
pub(crate) fn cases() -> Vec<Case> {
    examples().iter().flat_map(|(_, plan)| cases_of(plan)).collect()
}

fn cases_of(plan: &Compiled) -> Vec<Case> {
    let definition = plan.definition();
    let mut found = Vec::new();
    for step in &definition.steps {
        let forward = [
            Behaviour::Fails,
            Behaviour::FailsAtFirst(2),
            Behaviour::Silent,
            Behaviour::LosesItsAnswer,
            Behaviour::AnswersTwice,
            Behaviour::AnswersLate(LATE_DO),
        ];
        found.extend(forward.map(|behaviour| (step, Action::Do, behaviour, None)));
        let failing = last_that_fails(definition);
        if matches!(step.undo, Undo::Command(_)) && definition.step(failing).name != step.name {
            let back = [
                Behaviour::Fails,
                Behaviour::FailsAtFirst(2),
                Behaviour::Silent,
                Behaviour::AnswersTwice,
                Behaviour::AnswersLate(LATE_UNDO),
            ];
            let failing = Arc::clone(&definition.step(failing).name);
            found.extend(back.map(|behaviour| (step, Action::Undo, behaviour, Some(Arc::clone(&failing)))));
        }
    }
    let mut cases = Vec::new();
    for (place, (step, action, behaviour, failing)) in found.into_iter().enumerate() {
        let (name, key) = (Arc::clone(&definition.name), format!("{}-{place}", definition.name));
        cases.push(Case { definition: name, key, step: Arc::clone(&step.name), action, behaviour, failing });
    }
    cases
}

fn last_that_fails(definition: &Definition) -> StepIx {
    let fails = |step: &&StepIx| definition.step(**step).kind != StepKind::Retriable;
    *definition.order.iter().rev().find(fails).expect("some step can fail")
}

/// True when the step `later` comes after `earlier`, directly or not.
fn comes_after(definition: &Definition, later: &str, earlier: &str) -> bool {
    let after = &definition.step(definition.place_of(later).unwrap()).after;
    let names = after.iter().map(|step| &*definition.step(*step).name);
    names.into_iter().any(|name| name == earlier || comes_after(definition, name, earlier))
}

/// What participants do in these cases.
pub(crate) fn script(cases: &[Case]) -> Script {
    let by_key: BTreeMap<String, Case> = cases.iter().map(|case| (case.key.clone(), case.clone())).collect();
    Box::new(move |command: &Received| {
        let Some(case) = by_key.get(&*command.key) else { return Behaviour::Answers };
        if command.step == case.step && command.action == case.action {
            return case.behaviour;
        }
        if command.action == Action::Do && Some(&command.step) == case.failing.as_ref() {
            return Behaviour::Fails;
        }
        Behaviour::Answers
    })
}

/// The phase that the rules say.
fn expected(case: &Case, definition: &Definition) -> Phase {
    let step = definition.step(definition.place_of(&case.step).unwrap());
    let skips = step.compensation.on_exhausted == OnExhausted::Skip;
    match (case.action, case.behaviour) {
        (Action::Do, Behaviour::AnswersTwice | Behaviour::FailsAtFirst(_) | Behaviour::Answers) => Phase::Completed,
        (Action::Do, Behaviour::Fails) if step.is_endless() => Phase::Stuck,
        (Action::Do, Behaviour::Silent | Behaviour::LosesItsAnswer) if step.is_endless() => Phase::Running,
        (Action::Do, Behaviour::Silent | Behaviour::LosesItsAnswer) if step.kind == StepKind::Pivot => Phase::Stuck,
        (Action::Do, Behaviour::AnswersLate(_)) if step.is_endless() || step.kind == StepKind::Pivot => {
            Phase::Completed
        }
        (Action::Do, _) => Phase::Compensated,
        (
            Action::Undo,
            Behaviour::Fails | Behaviour::Silent | Behaviour::LosesItsAnswer | Behaviour::AnswersLate(_),
        ) if skips => Phase::CompensatedWithSkips,
        (Action::Undo, Behaviour::Fails | Behaviour::Silent | Behaviour::LosesItsAnswer) => Phase::Stuck,
        (Action::Undo, _) => Phase::Compensated,
    }
}

/// Judges every case against its saga and the ledger.
pub(crate) fn judge(cases: &[Case], plans: &[Arc<Compiled>], sagas: &[(Saga, Stored)], participants: &Participants) {
    assert_eq!(sagas.len(), cases.len(), "no saga is missing or doubled");
    let mut wrong = Vec::new();
    for case in cases {
        let plan = plans.iter().find(|plan| plan.definition().name == case.definition).unwrap();
        let definition = plan.definition();
        let (saga, stored) =
            sagas.iter().find(|(saga, _)| *saga.business_key == *case.key).expect("every case has a saga");
        let journal = replay::decode(stored.journal.iter().map(Vec::as_slice)).unwrap();
        let findings = replay::check(definition, &stored.row, &journal, wall_clock());
        assert_eq!(findings, replay::Findings::default(), "{case:?}: the online checks find nothing");
        if saga.phase != expected(case, definition) {
            wrong.push(format!("{case:?}: {} instead of {}", saga.phase, expected(case, definition)));
        }
        let effects = participants.effects_of(saga.id);
        let allowed = |step: &String| {
            let step = definition.step(definition.place_of(step).unwrap());
            step.undo == Undo::Nothing && step.kind == StepKind::Retriable || step.kind == StepKind::ReadOnly
        };
        let is_it = |step: &String| **step == *case.step;
        // An undo that does not come to its end holds back others; what comes after it was undone before.
        let may_stay = |step: &String| allowed(step) || !comes_after(definition, step, &case.step);
        let is_right = match (saga.phase, case.action) {
            (Phase::Completed, _) => effects.len() == definition.steps.len(),
            (Phase::Compensated, _) => effects.iter().all(allowed),
            (Phase::CompensatedWithSkips, _) => effects.iter().all(|step| allowed(step) || is_it(step)),
            (Phase::Stuck, Action::Undo) => effects.iter().any(is_it) && effects.iter().all(may_stay),
            (Phase::Stuck | Phase::Running, Action::Do) => {
                effects.iter().any(is_it) == (case.behaviour == Behaviour::LosesItsAnswer)
            }
            (_, _) => true,
        };
        if !is_right {
            wrong.push(format!("{case:?}: {} with effects {effects:?}", saga.phase));
        }
        match saga.phase {
            Phase::Completed | Phase::Compensated | Phase::CompensatedWithSkips | Phase::Stuck | Phase::Running => {}
            Phase::Compensating | Phase::Paused | Phase::Cancelled | Phase::Abandoned => {
                wrong.push(format!("{case:?}: {}", saga.phase));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[tokio::test]
async fn every_step_of_every_example_fails_in_memory() {
    let cases = cases();
    assert!(cases.len() > 120, "the matrix is not empty: {}", cases.len());
    let mut world = MemoryWorld::new(script(&cases));
    for case in &cases {
        let plan = world.world.plans.iter().find(|plan| plan.definition().name == case.definition).unwrap();
        world.world.trigger(plan, &case.key);
    }
    world.run(40_000).await;
    judge(&cases, &world.world.plans, &world.sagas(), &world.world.participants);
    assert!(world.database.unemitted() <= 1, "everything was sent, but perhaps for the batch of the last turn");
    assert_eq!(world.database.parked().len(), 0);
}

/// The same matrix on Postgres, by the real clock: every case is a saga of one run.
#[tokio::test]
async fn every_step_of_every_example_fails_on_postgres() {
    let database = TestDatabase::migrated("every_step_fails").await;
    let console = Console::connect(&database.url).await.unwrap();
    let rows: Vec<_> = examples().iter().map(|(source, plan)| row_of(source, plan)).collect();
    console.deploy(&rows, false).await.unwrap();
    let cases = cases();
    let plans: Vec<Arc<Compiled>> = examples().into_iter().map(|(_, plan)| plan).collect();
    let store = PostgresStore::new(&database.url).unwrap();
    let mut world = World::new(store, plans, script(&cases), SystemClock::start());
    for case in &cases {
        let plan = world.plans.iter().find(|plan| plan.definition().name == case.definition).unwrap();
        world.trigger(plan, &case.key);
    }
    // The longest case: a step fails, an undo is answered behind its patience of 10 s. Endless ones never settle.
    let started = wall_clock();
    while wall_clock().millis_since(started) < 16_000 {
        world.turn(wall_clock()).await;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let mut stored = Vec::new();
    for listed in console.list(&SagaFilter::default(), 10_000).await.unwrap() {
        let journal = console.journal(listed.row.id).await.unwrap();
        stored.push(Stored { row: listed.row, journal });
    }
    judge(&cases, &world.plans, &fold_all(&world.plans, stored), &world.participants);
    assert_eq!(database.count("SELECT count(*) FROM parked_message").await, 0);
}
