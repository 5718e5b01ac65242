//! The definitions that this engine decides with: those that are active, and those that open sagas are pinned to.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::core::{Rules, Sha256, Timestamp};
use crate::definition::{Compiled, Source};
use crate::store::{Catalogue, HoldRow, held_steps};

/// Compiled definitions, by hash and by topic.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    generation: i64,
    released: i64,
    holds: Vec<HoldRow>,
    /// Since when each step is held, by definition.
    held: FxHashMap<Sha256, Vec<Option<Timestamp>>>,
    plans: FxHashMap<Sha256, Arc<Compiled>>,
    by_trigger_topic: FxHashMap<Arc<str>, Vec<Arc<Compiled>>>,
    reply_topics: FxHashSet<Arc<str>>,
}

impl Catalog {
    /// Takes over what Postgres says, keeping what is compiled already. A pinned definition that this version cannot compile is
    /// left out, loudly: its sagas are left alone.
    ///
    /// # Errors
    /// The name of an active definition that this version cannot compile. Its triggers may come on a topic that others share, where
    /// they would be ignored, so sagas would be lost.
    pub(super) fn replace(&mut self, catalogue: &Catalogue) -> Result<(), String> {
        self.generation = catalogue.generation;
        self.released = catalogue.released;
        self.holds.clone_from(&catalogue.holds);
        self.by_trigger_topic.clear();
        self.reply_topics.clear();
        for row in &catalogue.active {
            let plan = self.compile(row.hash, &row.body).ok_or_else(|| format!("{} v{}", row.name, row.version))?;
            let topic = Arc::clone(&plan.definition().trigger_topic);
            self.reply_topics.insert(Arc::clone(&plan.definition().reply_topic));
            self.by_trigger_topic.entry(topic).or_default().push(plan);
        }
        for row in &catalogue.pinned {
            if let Some(plan) = self.compile(row.hash, &row.body) {
                self.reply_topics.insert(Arc::clone(&plan.definition().reply_topic));
            }
        }
        let held = self.plans.values().map(|plan| (plan.definition().hash, held_steps(&self.holds, plan.definition())));
        self.held = held.filter(|(_, held)| !held.is_empty()).collect();
        Ok(())
    }

    /// Takes over definitions that are compiled already.
    pub(super) fn know(&mut self, plans: impl IntoIterator<Item = Arc<Compiled>>) {
        self.plans.extend(plans.into_iter().map(|plan| (plan.definition().hash, plan)));
    }

    /// Adds one definition that an ended saga is pinned to.
    pub(super) fn compile(&mut self, hash: Sha256, body: &str) -> Option<Arc<Compiled>> {
        if let Some(plan) = self.plans.get(&hash) {
            return Some(Arc::clone(plan));
        }
        let loaded = Source::from_body(body).map_err(|error| error.to_string());
        match loaded.and_then(|source| Compiled::load(&source).map_err(|report| report.to_string())) {
            Ok(plan) => {
                let plan = Arc::new(plan);
                self.plans.insert(hash, Arc::clone(&plan));
                self.held.insert(hash, held_steps(&self.holds, plan.definition()));
                Some(plan)
            }
            Err(error) => {
                tracing::error!(%hash, error, "stored definition cannot be read, its sagas are left alone");
                None
            }
        }
    }

    /// The definition with this hash.
    pub(super) fn plan(&self, hash: Sha256) -> Option<Arc<Compiled>> {
        let plan = self.plans.get(&hash)?;
        if defect!("reload changes running sagas") {
            return self.triggered_by(&plan.definition().trigger_topic).first().cloned();
        }
        Some(Arc::clone(plan))
    }

    /// What the definition's sagas are decided by: its rules, and which of its steps are held.
    pub(super) fn rules<'a>(&'a self, plan: &'a Compiled) -> Rules<'a> {
        Rules { held: self.held.get(&plan.definition().hash).map_or(&[], Vec::as_slice), ..plan.rules() }
    }

    /// The generation at which something was released last.
    pub(super) fn released(&self) -> i64 {
        self.released
    }

    /// The generation that batches are decided with.
    pub(super) fn generation(&self) -> i64 {
        self.generation
    }

    /// Active definitions whose triggers come from this topic.
    pub(super) fn triggered_by(&self, topic: &str) -> &[Arc<Compiled>] {
        self.by_trigger_topic.get(topic).map_or(&[], Vec::as_slice)
    }

    /// True when participants answer on this topic.
    pub(super) fn is_reply_topic(&self, topic: &str) -> bool {
        self.reply_topics.contains(topic)
    }

    /// All topics to read, sorted.
    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        let mut topics: Vec<Arc<str>> = self.by_trigger_topic.keys().chain(&self.reply_topics).cloned().collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}
