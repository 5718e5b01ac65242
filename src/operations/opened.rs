//! One saga, read as of one moment and folded: what everything that looks at a single saga begins with.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::core::{Definition, Rules, Saga, Sha256, Timestamp, Transition, fold};
use crate::definition::{Compiled, Source};
use crate::engine::Reader;
use crate::replay;
use crate::store::{Console, HoldRow, Snapshot, held_steps};

use super::explain::{Explanation, explain};
use super::failure::{Exit, Failure};
use super::moments::Times;
use super::sight::Sight;
use super::verify::PAGE;

/// A saga with its pinned definition and its journal.
#[derive(Debug)]
pub struct Opened {
    /// The definition that it is pinned to.
    pub plan: Arc<Compiled>,
    /// The fold of its journal.
    pub saga: Saga,
    /// Its journal.
    pub journal: Vec<Transition>,
    /// The database's clock, read after the journal was.
    pub now: Timestamp,
    /// What people hold of it.
    pub held: HeldSteps,
}

/// What people hold of the steps of a definition.
#[derive(Clone, Debug, Default)]
pub struct HeldSteps {
    /// The holds that are about one of its steps at least.
    pub holds: Vec<HoldRow>,
    steps: Vec<Option<Timestamp>>,
}

impl HeldSteps {
    /// Of these holds what is about the definition.
    pub fn of(holds: &[HoldRow], definition: &Definition) -> Self {
        let covers = |hold: &&HoldRow| definition.steps.iter().any(|step| hold.target.covers(&definition.name, step));
        Self { holds: holds.iter().filter(covers).cloned().collect(), steps: held_steps(holds, definition) }
    }

    /// The rules of the definition, as an engine decides by them now.
    pub fn rules<'a>(&'a self, plan: &'a Compiled) -> Rules<'a> {
        Rules { held: &self.steps, ..plan.rules() }
    }
}

impl Opened {
    /// The definition as the rules know it.
    pub fn definition(&self) -> &Definition {
        self.plan.definition()
    }

    /// The rules that an engine decides by now.
    pub fn rules(&self) -> Rules<'_> {
        self.held.rules(&self.plan)
    }

    /// Why it stands where it stands.
    pub fn explanation(&self, times: Times) -> Explanation {
        explain(self.rules(), &self.saga, &self.journal, &self.held.holds, times)
    }
}

/// Reads and folds the saga with this id.
///
/// # Errors
/// The database does not answer, there is no such saga (exit 3), or the journal cannot be read or does not fold (exit 1).
pub async fn open(console: &Console, id: Uuid) -> Result<Opened, Failure> {
    let snapshot = console.snapshots(&[id]).await?.pop();
    let snapshot = snapshot.ok_or_else(|| Failure::new(Exit::NotFound, format!("there is no saga {id}"), ""))?;
    let plan = Arc::new(plan_of_hash(console, snapshot.row.definition_hash).await?);
    let (journal, saga) = folded(plan.definition(), &snapshot)?;
    let held = HeldSteps::of(&console.holds().await?, plan.definition());
    Ok(Opened { plan, saga, journal, now: snapshot.now, held })
}

/// The journal of a saga that was read, and its fold.
fn folded(definition: &Definition, snapshot: &Snapshot) -> Result<(Vec<Transition>, Saga), Failure> {
    let failed = |error: String| {
        let hint = "sagabus verify tells more";
        Failure::new(Exit::Failed, format!("journal of saga {}: {error}", snapshot.row.id), hint)
    };
    let journal = replay::decode(snapshot.facts.iter().map(Vec::as_slice)).map_err(failed)?;
    let saga = fold(definition, snapshot.row.id, &journal).map_err(|error| failed(error.to_string()))?;
    Ok((journal, saga))
}

/// The compiled definition with this hash.
async fn plan_of_hash(console: &Console, hash: Sha256) -> Result<Compiled, Failure> {
    let row = console.definition(hash).await?;
    let row = row.ok_or_else(|| Failure::new(Exit::Failed, format!("definition {hash} is not in the database"), ""))?;
    let source = Source::from_body(&row.body).map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))?;
    Ok(Compiled::load(&source)?)
}

/// Definitions, compiled once; for one that cannot be had, why.
#[derive(Debug, Default)]
pub(super) struct Plans {
    known: HashMap<Sha256, Result<Arc<Compiled>, String>>,
}

impl Plans {
    /// The compiled definition, or why nobody can have it.
    pub(super) async fn get(
        &mut self,
        console: &Console,
        hash: Sha256,
    ) -> Result<Result<Arc<Compiled>, String>, Failure> {
        if let Some(known) = self.known.get(&hash) {
            return Ok(known.clone());
        }
        let plan = match plan_of_hash(console, hash).await {
            Ok(plan) => Ok(Arc::new(plan)),
            Err(failure) if failure.exit == Exit::Unreachable => return Err(failure),
            Err(failure) => Err(failure.message),
        };
        self.known.insert(hash, plan.clone());
        Ok(plan)
    }
}

/// Reads these sagas page by page, and shows each that is there as somebody may see it, or why it cannot be read. Within a page the newest
/// comes first.
///
/// # Errors
/// The database does not answer.
pub(super) async fn look_at(
    console: &Console,
    ids: &[Uuid],
    plans: &mut Plans,
    sight: Sight,
    mut show: impl FnMut(&Snapshot, Result<Opened, String>),
) -> Result<(), Failure> {
    let holds = console.holds().await?;
    for page in ids.chunks(PAGE) {
        for snapshot in console.snapshots(page).await? {
            let plan = plans.get(console, snapshot.row.definition_hash).await?;
            let opened = plan.and_then(|plan| {
                let (journal, saga) = folded(plan.definition(), &snapshot).map_err(|failure| failure.message)?;
                let held = HeldSteps::of(&holds, plan.definition());
                Ok(Opened { plan, saga, journal, now: snapshot.now, held }.seen(sight))
            });
            show(&snapshot, opened);
        }
    }
    Ok(())
}

/// What an engine would make of records, by the definitions in force.
///
/// # Errors
/// The database does not answer, or an active definition cannot be read (exit 1).
pub(super) async fn reader(console: &Console) -> Result<Reader, Failure> {
    let unreadable =
        |name| Failure::new(Exit::Failed, format!("definition {name} cannot be read"), "is it of a newer version?");
    Reader::new(&console.catalogue().await?).map_err(unreadable)
}
