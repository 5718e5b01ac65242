//! The consumer group: who reads what. Its members hear of it in their own time, so that two may believe to own one partition.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use sagabus::bus::{Arrival, Delivery, Tag};
use sagabus::core::Partition;

use super::world::{Life, World};

/// Everybody who reads.
#[derive(Default)]
pub(crate) struct Group {
    pub(super) members: Vec<Member>,
    generation: u64,
}

/// A consumer of the group.
pub(super) struct Member {
    pub(super) life: Life,
    pub(super) alive: Rc<Cell<bool>>,
    pub(super) topics: Vec<Arc<str>>,
    pub(super) inbox: Rc<RefCell<Inbox>>,
    pub(super) given: Vec<Partition>,
}

/// What waits for one engine.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) notices: VecDeque<Arrival>,
    pub(super) deliveries: Vec<Delivery>,
    /// The engine subscribes to nothing.
    pub(super) has_left: bool,
    /// Parcels that are not acknowledged.
    pub(super) under_way: usize,
    /// Nobody waits for what was emitted under an earlier tag.
    pub(super) first_tag: Tag,
    pub(super) next_tag: Tag,
    /// When the last parcel to a place arrives: a producer keeps the order of each partition.
    pub(super) last_sent: BTreeMap<(Arc<str>, usize), i64>,
}

impl Group {
    /// A life ended: the group hears of it after its session's time.
    pub(crate) fn leave(&mut self, life: Life) {
        self.members.retain(|member| member.life != life);
    }
}

/// Shares the partitions out anew; every member hears of it in its own time.
pub(crate) fn rebalance(world: &Rc<World>) {
    let mut broker = world.broker.borrow_mut();
    broker.group.generation += 1;
    let generation = broker.group.generation;
    let turn = usize::try_from(generation).unwrap_or(0);
    let topics: BTreeSet<Arc<str>> =
        broker.group.members.iter().flat_map(|member| member.topics.iter().cloned()).collect();
    let partitions: Vec<Partition> = topics
        .iter()
        .flat_map(|topic| {
            let count = i32::try_from(broker.partitions(topic)).expect("few partitions");
            (0..count).map(move |number| (Arc::clone(topic), number))
        })
        .collect();
    let members = broker.group.members.len();
    for (place, member) in broker.group.members.iter().enumerate() {
        let mine: Vec<Partition> = partitions
            .iter()
            .enumerate()
            .filter(|(number, _)| (number + turn) % members == place)
            .map(|(_, partition)| partition.clone())
            .collect();
        let (life, delay) = (member.life, if world.is_unsafe.get() { world.delay(0, 3_000) } else { 1_000 });
        world.carry(delay, move |world| hear(world, generation, life, mine));
    }
}

/// A consumer joins the group. With a name (static membership) it takes the place of its namesake, which the broker then refuses for
/// good: that one makes a new client after a while, and joins again if its process still lives.
pub(super) fn join(world: &Rc<World>, member: Member) {
    let has_names = world.knobs.borrow().has_names;
    let mut broker = world.broker.borrow_mut();
    if broker.cut_off.contains(&member.life) {
        return;
    }
    let Some(place) = broker.group.members.iter().position(|other| has_names && other.life.0 == member.life.0) else {
        broker.group.members.push(member);
        return;
    };
    let before = std::mem::replace(&mut broker.group.members[place], member);
    let member = &mut broker.group.members[place];
    member.given.clone_from(&before.given);
    let given = before.given.clone();
    if !given.is_empty() {
        member.inbox.borrow_mut().notices.push_back(Arrival::Assigned(given));
        world.wake(member.life, 100);
    }
    drop(broker);
    world.carry(4_000_000, move |world| {
        let is_back = world.broker.borrow().group.members.iter().any(|member| member.life == before.life);
        let wants_back = before.alive.get() && !before.inbox.borrow().has_left;
        if wants_back && !is_back {
            world.saw("fenced consumer joined again");
            before.inbox.borrow_mut().notices.push_back(Arrival::Revoked(before.given.clone()));
            join(world, Member { given: Vec::new(), ..before });
            rebalance(world);
        }
    });
}

/// One member hears what it owns now.
fn hear(world: &Rc<World>, generation: u64, life: Life, mine: Vec<Partition>) {
    let mut broker = world.broker.borrow_mut();
    if broker.group.generation != generation {
        return;
    }
    let Some(member) = broker.group.members.iter_mut().find(|member| member.life == life) else { return };
    let before = std::mem::replace(&mut member.given, mine.clone());
    let mut inbox = member.inbox.borrow_mut();
    if !before.is_empty() {
        inbox.notices.push_back(Arrival::Revoked(before));
    }
    inbox.notices.push_back(Arrival::Assigned(mine));
    drop(inbox);
    broker.waiting.retain(|other| *other != life);
    world.wake(life, 100);
}
