//! Decides a whole batch, purely: inputs by saga, in the order of their arrival, on what is known of each saga.
//!
//! When too little is known it says what to load, and is asked again: a reply for a saga that is not cached; and any verdict but
//! *applied* on a cached saga, since such a verdict may write no journal row that would collide (DESIGN.md section 3).

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use crate::core::{self, Decision, Input, Refusal, Saga, Verdict, ready};
use crate::definition::Compiled;
use crate::dispatch::{self, Ready};
use crate::store::{OperationOutcome, OperationState, RedriveOutcome, SagaKey};

use super::batch::{Batch, Redriven};
use super::cache::{Cache, Row};
use super::catalog::Catalog;
use super::route::{Meaning, Start};

/// What the batch comes to.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// One for each saga that was touched.
    pub(super) works: Vec<Work>,
    /// One for each record, in the batch's order.
    pub(super) verdicts: Vec<(Verdict, Option<Refusal>)>,
    pub(super) operations: Vec<OperationOutcome>,
    pub(super) redriven: Vec<RedriveOutcome>,
}

/// One saga in a batch.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) id: Uuid,
    pub(super) plan: Arc<Compiled>,
    /// Its row in Postgres; `None` for a saga that this batch begins.
    pub(super) row: Option<Row>,
    /// What was decided, a journal row each (those without facts write none).
    pub(super) decisions: Vec<Decision>,
}

impl Work {
    /// The saga after everything that was decided.
    pub(super) fn saga(&self) -> &Saga {
        &self.decisions.last().expect("a work begins with a decision").saga
    }
}

/// What was read from Postgres for this batch.
#[derive(Debug, Default)]
pub(super) struct Known {
    sagas: FxHashMap<Uuid, Option<Folded>>,
    keys: FxHashMap<(Arc<str>, Arc<str>), Option<Uuid>>,
}

/// A saga as read from Postgres.
#[derive(Clone, Debug)]
pub(super) enum Folded {
    /// Folded with its definition.
    Saga(Box<Saga>, Row, Arc<Compiled>),
    /// It is there and cannot be read by this version: it is left alone.
    Unreadable(String),
}

impl Known {
    /// Notes that these keys were looked up, before what was found is added.
    pub(super) fn looked_up(&mut self, keys: &[SagaKey]) {
        for key in keys {
            match key {
                SagaKey::Id(id) => _ = self.sagas.insert(*id, None),
                SagaKey::Business { definition_name, business_key } => {
                    self.keys.insert((Arc::clone(definition_name), Arc::clone(business_key)), None);
                }
            }
        }
    }

    /// Adds what was found.
    pub(super) fn add(&mut self, id: Uuid, definition_name: Arc<str>, business_key: Arc<str>, folded: Folded) {
        self.keys.insert((definition_name, business_key), Some(id));
        self.sagas.insert(id, Some(folded));
    }

    /// True for a saga that was looked up and is not there.
    pub(super) fn is_absent(&self, id: Uuid) -> bool {
        self.sagas.get(&id).is_some_and(Option::is_none)
    }

    /// Takes out what was found.
    pub(super) fn take(&mut self, id: Uuid) -> Option<Folded> {
        self.sagas.remove(&id).flatten()
    }
}

/// Everything that judging looks at.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) cache: &'a Cache,
    pub(super) known: &'a Known,
}

/// The batch's outcome, or the sagas that have to be read first.
pub(super) fn judge(view: View<'_>, batch: &Batch) -> Result<Judged, Vec<SagaKey>> {
    let missing = missing(view, batch);
    if !missing.is_empty() {
        return Err(missing);
    }
    let mut bench = Bench {
        view,
        batch,
        works: Vec::new(),
        places: FxHashMap::default(),
        born: FxHashMap::default(),
        doubts: FxHashSet::default(),
    };
    let verdicts = batch.records.iter().map(|arrived| bench.record(&arrived.meaning)).collect();
    for (id, input) in &batch.wakes {
        bench.input(*id, input);
    }
    let operations =
        batch.operations.iter().map(|pending| bench.operation(pending.saga_id, &pending.operation)).collect();
    let redriven = batch.redriven.iter().map(|redriven| bench.redriven(redriven)).collect();
    if !bench.doubts.is_empty() {
        return Err(bench.doubts.into_iter().map(SagaKey::Id).collect());
    }
    bench.dispatch();
    Ok(Judged { works: bench.works, verdicts, operations, redriven })
}

/// Sagas that inputs name and nobody has looked at.
fn missing(view: View<'_>, batch: &Batch) -> Vec<SagaKey> {
    let read = batch.records.iter().map(|arrived| &arrived.meaning);
    let meanings = read.chain(batch.redriven.iter().map(|redriven| &redriven.meaning));
    let replies = meanings.filter_map(|meaning| match meaning {
        Meaning::Reply(reply) => Some(reply.saga_id),
        Meaning::Start(_) | Meaning::Settled(_) => None,
    });
    let wakes = batch.wakes.iter().map(|(id, _)| *id);
    let operations = batch.operations.iter().map(|pending| pending.saga_id);
    let named: FxHashSet<Uuid> = replies.chain(wakes).chain(operations).collect();
    named
        .into_iter()
        .filter(|id| !view.known.sagas.contains_key(id) && view.cache.get(*id).is_none())
        .map(SagaKey::Id)
        .collect()
}

struct Bench<'a> {
    view: View<'a>,
    batch: &'a Batch,
    works: Vec<Work>,
    places: FxHashMap<Uuid, usize>,
    born: FxHashMap<(Arc<str>, Arc<str>), Uuid>,
    /// Cached sagas on which a verdict was reached that a fresh fold must confirm.
    doubts: FxHashSet<Uuid>,
}

impl Bench<'_> {
    fn record(&mut self, meaning: &Meaning) -> (Verdict, Option<Refusal>) {
        match meaning {
            Meaning::Settled(refusal) => (refusal.verdict, Some(refusal.clone())),
            Meaning::Reply(reply) => self.input(reply.saga_id, &Input::Reply(reply.clone())),
            Meaning::Start(starts) => {
                let outcomes: Vec<_> = starts.iter().map(|start| self.start(start)).collect();
                let weight = |verdict: Verdict| match verdict {
                    Verdict::Applied => 0,
                    Verdict::Conflict => 1,
                    Verdict::Malformed => 2,
                    Verdict::Orphan => 3,
                    Verdict::Duplicate => 4,
                    Verdict::Stale => 5,
                    Verdict::Ignored => 6,
                };
                outcomes
                    .into_iter()
                    .min_by_key(|(verdict, _)| weight(*verdict))
                    .expect("a record that starts nothing is settled by its route")
            }
        }
    }

    /// A trigger: a new saga, unless its business key is known to have one.
    fn start(&mut self, start: &Start) -> (Verdict, Option<Refusal>) {
        let Start::Saga { plan, business_key, trigger } = start else {
            let Start::Refused(refusal) = start else { unreachable!("a start is a saga or refused") };
            return (refusal.verdict, Some(refusal.clone()));
        };
        let name = Arc::clone(&plan.definition().name);
        let key = (name, Arc::clone(business_key));
        let derived = core::saga_id(&key.0, business_key, trigger.timestamp);
        let there = self.born.get(&key).copied().or_else(|| self.view.known.keys.get(&key).copied().flatten());
        let is_known = there.is_some() || self.places.contains_key(&derived) || self.is_there(derived);
        if is_known {
            return self.input(there.unwrap_or(derived), &Input::Trigger(trigger.clone()));
        }
        let decision = core::start(
            self.view.catalog.rules(plan),
            derived,
            Arc::clone(business_key),
            trigger.clone(),
            self.batch.now,
        );
        self.born.insert(key, derived);
        self.places.insert(derived, self.works.len());
        self.works.push(Work { id: derived, plan: Arc::clone(plan), row: None, decisions: vec![decision] });
        (Verdict::Applied, None)
    }

    fn is_there(&self, id: Uuid) -> bool {
        match self.view.known.sagas.get(&id) {
            Some(found) => found.is_some(),
            None => self.view.cache.get(id).is_some(),
        }
    }

    /// An input for a saga that should be there.
    fn input(&mut self, id: Uuid, input: &Input) -> (Verdict, Option<Refusal>) {
        let place = match self.place(id) {
            Ok(place) => place,
            Err(refusal) => return (refusal.verdict, Some(refusal)),
        };
        let work = &mut self.works[place];
        let decision = core::decide(self.view.catalog.rules(&work.plan), work.saga(), input, self.batch.now);
        let outcome = (decision.verdict, decision.refusal.clone());
        let fresh = work.row.is_none() || self.view.known.sagas.contains_key(&id);
        if decision.verdict != Verdict::Applied && !fresh {
            self.doubts.insert(id);
        }
        work.decisions.push(decision);
        outcome
    }

    /// Where the saga's work is, begun with what is known of it.
    fn place(&mut self, id: Uuid) -> Result<usize, Refusal> {
        if let Some(place) = self.places.get(&id) {
            return Ok(*place);
        }
        let refusal = |code, message| Refusal { verdict: Verdict::Orphan, code, message, can: Vec::new() };
        let (saga, row, plan) = match self.view.known.sagas.get(&id) {
            Some(Some(Folded::Saga(saga, row, plan))) => (saga.as_ref().clone(), row.clone(), Arc::clone(plan)),
            Some(Some(Folded::Unreadable(why))) => return Err(refusal("unreadable-journal", why.clone())),
            Some(None) => return Err(refusal("unknown-saga", format!("there is no saga {id}"))),
            None => {
                let cached = self.view.cache.get(id).expect("what is not cached was looked up");
                let plan = self.view.catalog.plan(cached.saga.definition);
                let plan =
                    plan.ok_or_else(|| refusal("unknown-definition", format!("saga {id} has an unknown definition")))?;
                (cached.saga.clone(), cached.row.clone(), plan)
            }
        };
        let place = self.works.len();
        self.places.insert(id, place);
        let decisions = vec![Decision::quiet(saga, self.batch.now)];
        self.works.push(Work { id, plan, row: Some(row), decisions });
        Ok(place)
    }

    fn operation(&mut self, saga_id: Uuid, operation: &core::Operation) -> OperationOutcome {
        let before = self.place(saga_id).ok().map(|place| self.works[place].saga().seq);
        let (verdict, refusal) = self.input(saga_id, &Input::Operation(operation.clone()));
        let after = self.place(saga_id).ok().map(|place| self.works[place].saga().seq);
        let state = match verdict {
            Verdict::Applied => OperationState::Decided,
            Verdict::Orphan => OperationState::Unknown,
            Verdict::Ignored | Verdict::Duplicate | Verdict::Stale | Verdict::Conflict | Verdict::Malformed => {
                OperationState::Refused
            }
        };
        let (code, message) = refusal.map(|refusal| (refusal.code, refusal.message)).unzip();
        OperationOutcome { id: operation.id, state, code, message, seq_before: before, seq_after: after }
    }

    fn redriven(&mut self, redriven: &Redriven) -> RedriveOutcome {
        let (verdict, refusal) = self.record(&redriven.meaning);
        RedriveOutcome {
            id: redriven.pending.id,
            verdict,
            message: refusal.map(|refusal| refusal.to_string()),
            stays_parked: redriven.meaning.is_parked(verdict),
        }
    }

    /// Issues what may go out, over all sagas of the batch, until nothing is ready: a command that cannot be made turns its
    /// saga, which makes undos ready.
    fn dispatch(&mut self) {
        loop {
            let ready = self.works.iter().flat_map(|work| {
                let saga = work.saga();
                ready(saga).map(|(step, action)| Ready { saga_id: work.id, started_at: saga.started_at, step, action })
            });
            let picks = dispatch::choose(ready.collect());
            if picks.is_empty() {
                return;
            }
            for pick in picks {
                let work = &mut self.works[self.places[&pick.saga_id]];
                let decision = work.decisions.pop().expect("a work begins with a decision");
                work.decisions.push(core::issue(self.view.catalog.rules(&work.plan), decision, pick.step, pick.action));
            }
        }
    }
}
