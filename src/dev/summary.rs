//! What the demonstration has come to: each saga with its steps, and whether the ledger balances.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::core::{Fact, Phase, Saga, Sha256, StepKind, StepStateName, Transition, Undo, fold, step_state_name};
use crate::definition::Compiled;
use crate::store::{Console, SagaFilter};

use super::examples::Story;
use super::samples::{Effect, read_ledger};

/// Sagas that are looked at.
const NEWEST: usize = 500;

/// One saga as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) key: String,
    pub(super) definition: Arc<str>,
    pub(super) phase: Phase,
    pub(super) story: Story,
    pub(super) steps: Vec<(Arc<str>, StepStateName)>,
    /// The answer of a given-up step came and is covered by its undo.
    pub(super) is_covered: bool,
    /// Effects that should not be there, or are missing; empty when the ledger balances.
    pub(super) imbalance: Vec<String>,
    /// How long it took, in milliseconds, once it has ended.
    pub(super) took_ms: Option<u64>,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture {
    pub(super) begun: usize,
    pub(super) counts: BTreeMap<&'static str, i64>,
    pub(super) lines: Vec<Line>,
}

impl Picture {
    /// Sagas that have ended.
    pub(super) fn ended(&self) -> usize {
        self.lines.iter().filter(|line| line.phase.is_final()).count()
    }

    /// True when every late answer has come.
    pub(super) fn too_late_are_covered(&self) -> bool {
        self.lines.iter().filter(|line| line.story == Story::TooLate).all(|line| line.is_covered)
    }

    /// Ended sagas whose ledger balances.
    pub(super) fn balanced(&self) -> usize {
        self.lines.iter().filter(|line| line.phase.is_final() && line.imbalance.is_empty()).count()
    }

    /// What is not as it should be after a counted run.
    pub(super) fn problems(&self, count: usize) -> Vec<String> {
        let mut problems = Vec::new();
        if self.lines.len() != count {
            problems.push(format!("{} sagas instead of {count}", self.lines.len()));
        }
        for line in &self.lines {
            if !line.phase.is_final() {
                problems.push(format!("{} has not ended: {}", line.key, line.phase));
            }
            problems.extend(line.imbalance.iter().map(|text| format!("{}: {text}", line.key)));
            let wanted = match line.story {
                Story::Refused | Story::TooLate => Phase::Compensated,
                Story::Smooth | Story::Slow | Story::Twice | Story::Lost => Phase::Completed,
            };
            if line.phase.is_final() && line.phase != wanted {
                problems.push(format!("{} ({}) ended {} instead of {wanted}", line.key, line.story.name(), line.phase));
            }
            if line.story == Story::TooLate && !line.is_covered {
                problems.push(format!("{}: its late answer is not shown as covered", line.key));
            }
        }
        problems
    }
}

/// Takes the picture.
pub(super) async fn look(
    console: &Console,
    ledger: &mut PgConnection,
    plans: &BTreeMap<Sha256, Arc<Compiled>>,
    begun: usize,
) -> Result<Picture, Box<dyn std::error::Error>> {
    let mut effects: HashMap<Uuid, Vec<Effect>> = HashMap::new();
    for effect in read_ledger(ledger).await? {
        effects.entry(effect.0).or_default().push(effect);
    }
    let mut picture = Picture { begun, ..Picture::default() };
    for (_, phase, count) in console.counts(&SagaFilter::default()).await? {
        *picture.counts.entry(phase.name()).or_insert(0) += count;
    }
    for saga in console.list(&SagaFilter::default(), NEWEST).await?.into_iter().take(NEWEST) {
        let Some(plan) = plans.get(&saga.row.definition_hash) else { continue };
        let journal: Vec<Transition> = console
            .journal(saga.row.id)
            .await?
            .iter()
            .map(|facts| Transition::decode(facts))
            .collect::<Result<_, _>>()?;
        let folded = fold(plan.definition(), saga.row.id, &journal)?;
        picture.lines.push(line(plan, &folded, &journal, effects.get(&saga.row.id).map_or(&[], Vec::as_slice)));
    }
    Ok(picture)
}

fn line(plan: &Compiled, saga: &Saga, journal: &[Transition], effects: &[Effect]) -> Line {
    let definition = plan.definition();
    let facts = || journal.iter().flat_map(|row| &row.facts);
    let is_covered = facts().any(|fact| matches!(fact, Fact::GivenUp { .. }))
        && facts().any(|fact| matches!(fact, Fact::CameLate { .. }));
    let mut imbalance = Vec::new();
    if saga.phase.is_final() {
        for step in &definition.steps {
            let (done, undone) = effects
                .iter()
                .find(|(_, name, ..)| **name == *step.name)
                .map_or((0, 0), |(_, _, done, undone)| (*done, *undone));
            let stays =
                step.kind == StepKind::ReadOnly || step.undo == Undo::Nothing && step.kind == StepKind::Retriable;
            let is_right = match (saga.phase == Phase::Completed, stays) {
                (true, _) => (done, undone) == (1, 0),
                (false, true) => done <= 1 && undone == 0,
                (false, false) => done <= 1 && done == undone,
            };
            if !is_right {
                imbalance.push(format!("step {} was done {done} times and undone {undone} times", step.name));
            }
        }
    }
    Line {
        key: saga.business_key.to_string(),
        definition: Arc::clone(&definition.name),
        phase: saga.phase,
        story: Story::told_by(&saga.business_key),
        steps: definition
            .steps
            .iter()
            .map(|step| Arc::clone(&step.name))
            .zip(saga.steps.iter().map(|state| step_state_name(state)))
            .collect(),
        is_covered,
        imbalance,
        took_ms: saga.finished_at.map(|at| at.millis_since(saga.started_at)),
    }
}

/// One mark a step.
pub(super) fn mark(state: StepStateName) -> &'static str {
    match state {
        StepStateName::Pending => "○",
        StepStateName::Ready | StepStateName::Issued | StepStateName::Retrying => "◐",
        StepStateName::Succeeded => "●",
        StepStateName::Failed => "✗",
        StepStateName::GivenUp => "?",
        StepStateName::Compensating => "◑",
        StepStateName::Compensated => "↩",
        StepStateName::CompensationFailed => "!",
        StepStateName::Skipped => "-",
    }
}

/// The steps of a line, each with its mark.
pub(super) fn steps(line: &Line) -> String {
    let marked: Vec<String> = line.steps.iter().map(|(name, state)| format!("{} {name}", mark(*state))).collect();
    marked.join("  ")
}

/// Prints the summary of a counted run.
#[expect(clippy::print_stdout, reason = "the summary is what the run is for")]
pub(super) fn print(picture: &Picture, problems: &[String]) {
    println!("\n{:<10} {:<17} {:<14} {:<24} {:>7}  STEPS", "KEY", "DEFINITION", "STORY", "OUTCOME", "MS");
    let mut lines: Vec<&Line> = picture.lines.iter().collect();
    lines.sort_by_key(|line| line.key.rsplit('-').next().and_then(|number| number.parse::<usize>().ok()));
    for line in lines {
        let took = line.took_ms.map_or("-".to_owned(), |took| took.to_string());
        let covered = if line.is_covered { "  (given up and undone; its late reply is covered)" } else { "" };
        println!(
            "{:<10} {:<17} {:<14} {:<24} {took:>7}  {}{covered}",
            line.key,
            line.definition,
            line.story.name(),
            line.phase.name(),
            steps(line)
        );
    }
    println!("\n● done  ↩ undone  ✗ refused  ○ not begun");
    let counts: Vec<String> = picture.counts.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
    println!(
        "{} sagas: {}; ledger balanced for {} of {}",
        picture.lines.len(),
        counts.join(", "),
        picture.balanced(),
        picture.lines.len()
    );
    for problem in problems {
        println!("WRONG  {problem}");
    }
}
