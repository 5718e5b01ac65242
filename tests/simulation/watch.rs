//! Looks at every commit, at the moment at which it happens.

use std::rc::Rc;
use std::sync::Arc;

use sagabus::core::{Fact, Transition};
use sagabus::store::{Change, StoreError};

use super::sometimes::of_fact;
use super::world::{Life, World};

/// A statement was refused.
pub(crate) fn refused(world: &Rc<World>, life: Life, error: &StoreError) {
    world.tell(&name(life), "postgres", || format!("[{}] refused: {error}", life.1));
    match error {
        StoreError::Fenced => world.saw("statement refused to a zombie"),
        StoreError::SagaRaced => world.saw("saga raced by another writer"),
        StoreError::OffsetMoved => world.saw("offset moved by another writer"),
        StoreError::CatalogueChanged => world.saw("catalogue changed under a batch"),
        StoreError::Defect(what) => world.violated(format!("a statement that must never be sent: {what}")),
        StoreError::Contention(_) | StoreError::Unknown(_) | StoreError::Refused { .. } => {}
    }
}

/// A statement has committed.
pub(crate) fn committed(world: &Rc<World>, life: Life, change: &Change) {
    for advance in &change.partitions {
        let counted = advance.counts.iter().sum::<i64>() + advance.gaps;
        let partition = (Arc::clone(&advance.topic), advance.partition);
        let markers = world.broker.borrow().markers(&partition, advance.from, advance.to);
        if advance.to - advance.from != counted || advance.gaps != markers {
            world.violated(format!(
                "offsets {} to {} of {}/{} count {counted}, with {} gaps where there are {markers} markers",
                advance.from, advance.to, advance.topic, advance.partition, advance.gaps
            ));
        }
    }
    let now = world.outage.borrow().database_now(world.now());
    for row in &change.journal {
        let transition: Transition = serde_json::from_slice(&row.facts).expect("facts read back");
        world.tell(&name(life), "postgres", || tale(life, row.saga_id, row.seq, &transition.facts));
        for fact in &transition.facts {
            if let Some(what) = of_fact(fact) {
                world.saw(what);
            }
        }
        if transition.now > now {
            world.violated(format!(
                "row {} of saga {} was decided {} ahead of the database's clock",
                row.seq,
                row.saga_id,
                transition.now.millis_since(now)
            ));
        }
    }
}

/// An engine's column in the story.
pub(crate) fn name((slot, _): Life) -> String {
    format!("engine{slot}")
}

fn tale((_, life): Life, saga: uuid::Uuid, seq: u32, facts: &[Fact]) -> String {
    let words: Vec<String> = facts
        .iter()
        .map(|fact| {
            let text = format!("{fact:?}");
            let word = text.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
            let step = text.split("StepIx(").nth(1).and_then(|rest| rest.split(')').next());
            step.map_or(word.clone(), |step| format!("{word} s{step}"))
        })
        .collect();
    format!("[{life}] {}#{seq}: {}", &saga.to_string()[24..], words.join(", "))
}
