//! One saga, read as of one moment and folded: what everything that looks at a single saga begins with.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::core::{Definition, Saga, Sha256, Timestamp, Transition, fold};
use crate::definition::{Compiled, Source};
use crate::engine::Reader;
use crate::replay;
use crate::store::{Console, Snapshot};

use super::failure::{Exit, Failure};

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
}

impl Opened {
    /// The definition as the rules know it.
    pub fn definition(&self) -> &Definition {
        self.plan.definition()
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
    Ok(Opened { plan, saga, journal, now: snapshot.now })
}

/// The journal of a saga that was read, and its fold.
pub(super) fn folded(definition: &Definition, snapshot: &Snapshot) -> Result<(Vec<Transition>, Saga), Failure> {
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

/// What an engine would make of records, by the definitions in force.
///
/// # Errors
/// The database does not answer, or an active definition cannot be read (exit 1).
pub(super) async fn reader(console: &Console) -> Result<Reader, Failure> {
    let unreadable =
        |name| Failure::new(Exit::Failed, format!("definition {name} cannot be read"), "is it of a newer version?");
    Reader::new(&console.catalogue().await?).map_err(unreadable)
}
