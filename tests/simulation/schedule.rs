//! One schedule: a world is drawn, faults happen, the world heals, everything must come to its end, and is audited.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sagabus::bus::From;
use sagabus::core::Phase;
use sagabus::engine::{Clock, Engine, EngineError, Health, Settings, Stop};
use sagabus::store::SagaRow;

use super::audit;
use super::bus::SimBus;
use super::choices::Choices;
use super::database::SimStore;
use super::definitions::Shape;
use super::group::rebalance;
use super::knobs::Knobs;
use super::people;
use super::script::Script;
use super::sometimes::Sometimes;
use super::story::Story;
use super::watch;
use super::world::{BEGINS, Life, Next, World};

/// Virtual time within which a healed world must come to its end, in microseconds.
const SETTLES_WITHIN: i64 = 400_000_000;
/// Events of one schedule at most: more is a livelock.
const EVENTS_MAX: u64 = 400_000;
/// Many sagas and many steps at once would cost a hundred times what either does.
const SAGAS_OF_A_LARGE_SHAPE: u32 = 3;
/// How often a healed world is looked at.
const LOOK: i64 = 500_000;

/// How one schedule ended.
#[derive(Default)]
pub(crate) struct Ended {
    pub(crate) violations: Vec<String>,
    pub(crate) tape: Vec<u32>,
    pub(crate) sometimes: Sometimes,
    pub(crate) story: String,
    pub(crate) polls: u64,
    /// Each saga's key and phase, and the effects that are there.
    pub(crate) outcome: Vec<(String, Phase, Vec<String>)>,
}

/// What is done to the engines at some of their polls besides what chance does.
pub(crate) type Interference = BTreeMap<u64, Blow>;

/// What is done at one poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// The process is killed.
    Kill,
    /// The future is dropped where it waits, and the same engine runs again.
    Drop,
}

type Running = Pin<Box<dyn Future<Output = Result<(), EngineError>>>>;

/// The process of an engine.
struct Task {
    life: Life,
    engine: Rc<RefCell<Engine<SimStore, SimBus, SimClock>>>,
    health: Arc<Health>,
    future: Running,
    alive: Rc<Cell<bool>>,
    stop: Arc<Stop>,
    stopped_until: i64,
}

/// The clock of an engine's machine.
struct SimClock {
    world: Rc<World>,
}

impl std::fmt::Debug for SimClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimClock")
    }
}

impl Clock for SimClock {
    fn monotonic_micros(&self) -> i64 {
        let passed = self.world.now() - BEGINS;
        passed + passed / 100 * i64::from(self.world.knobs.borrow().drift_percent)
    }

    async fn sleep(&self, duration: Duration) {
        self.world.sleep(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)).await;
    }
}

/// Every engine process.
struct Engines {
    world: Rc<World>,
    tasks: Vec<Task>,
    lives: BTreeMap<usize, u32>,
    interference: Interference,
    polls: u64,
}

impl Engines {
    /// Starts a slot's process, unless it runs: one that is stopped looks dead to whoever looks after it.
    fn start(&mut self, slot: usize) {
        if self.tasks.iter().any(|task| task.life.0 == slot && task.stopped_until <= self.world.now()) {
            return;
        }
        let number = self.lives.entry(slot).or_insert(0);
        *number += 1;
        let life = (slot, *number);
        let world = &self.world;
        let alive = Rc::new(Cell::new(true));
        let store = SimStore::connect(world, life);
        let bus = SimBus::connect(world, life, Rc::clone(&alive));
        let clock = SimClock { world: Rc::clone(world) };
        let instance = world.knobs.borrow().has_names.then(|| Arc::from(format!("engine-{slot}")));
        let settings = Settings { instance, from: From::Earliest, seed: u64::from(life.1) };
        let engine = Engine::new(store, bus, clock, settings).with_plans(world.plans.iter().cloned());
        let health = engine.health();
        let engine = Rc::new(RefCell::new(engine));
        let stop = Arc::new(Stop::default());
        let future = running(&engine, &stop);
        self.tasks.push(Task { life, engine, health, future, alive, stop, stopped_until: 0 });
        world.tell(&watch::name(life), "all", || format!("[{}] starts", life.1));
        world.wake(life, 0);
    }

    /// A process ends; the group hears of it later, and whoever looks after it starts it again.
    fn end(&mut self, life: Life, after_ms: (u32, u32)) {
        let Some(place) = self.tasks.iter().position(|task| task.life == life) else { return };
        let task = self.tasks.remove(place);
        task.alive.set(false);
        drop(task.future);
        let world = &self.world;
        world.carry(world.delay(after_ms.0, after_ms.1), move |world| {
            world.broker.borrow_mut().group.leave(life);
            rebalance(world);
        });
        if world.is_unsafe.get() || life.0 == 0 {
            world.carry(world.delay(10, 12_000), move |world| world.starting.borrow_mut().push(life.0));
        }
    }

    fn poll(&mut self, life: Life) {
        let Some(place) = self.tasks.iter().position(|task| task.life == life) else { return };
        let now = self.world.now();
        if self.tasks[place].stopped_until > now {
            self.world.wake(life, self.tasks[place].stopped_until - now);
            return;
        }
        self.polls += 1;
        let blow = self.interference.get(&self.polls).copied();
        if self.interfere(place, blow) {
            return;
        }
        let task = &mut self.tasks[place];
        self.world.set_polling(Some(life));
        let polled = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.world.set_polling(None);
        let by_chance = self.world.panicked.borrow().get(&life).copied().unwrap_or(0);
        if task.health.crashes() > by_chance {
            self.world.violated("an engine panicked".to_owned());
        }
        match polled {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                self.world.saw("engine drained");
                self.world.tell(&watch::name(life), "all", || format!("[{}] has drained", life.1));
                self.end(life, (0, 50));
            }
            Poll::Ready(Err(EngineError::Superseded(_))) => {
                self.world.saw("engine superseded by its namesake");
                self.world.tell(&watch::name(life), "all", || format!("[{}] is superseded", life.1));
                self.end(life, (0, 50));
            }
            Poll::Ready(Err(error)) => {
                self.world.violated(format!("an engine ended: {error}"));
                self.end(life, (0, 50));
            }
        }
    }

    /// True when the process was killed or stopped instead of polled.
    fn interfere(&mut self, place: usize, blow: Option<Blow>) -> bool {
        let (world, life) = (Rc::clone(&self.world), self.tasks[place].life);
        let (crash, dropped, stop, has_names) = {
            let knobs = world.knobs.borrow();
            (knobs.crash, knobs.dropped, knobs.stop, knobs.has_names)
        };
        if blow == Some(Blow::Drop) || world.happens(dropped) {
            world.saw("engine's future dropped");
            world.tell(&watch::name(life), "all", || format!("[{}] is dropped where it waits, and runs again", life.1));
            let task = &mut self.tasks[place];
            // The old one first: two of them cannot hold the engine.
            task.future = Box::pin(async { Ok(()) });
            task.future = running(&task.engine, &task.stop);
            return false;
        }
        if blow == Some(Blow::Kill) || world.happens(crash) {
            if blow.is_none() && world.choices.borrow_mut().below(8) == 7 {
                // SIGTERM instead: it drains.
                self.tasks[place].stop.request();
                return false;
            }
            world.saw("engine killed");
            world.tell(&watch::name(life), "all", || format!("[{}] is killed", life.1));
            self.end(life, (100, 8_000));
            return true;
        }
        if world.happens(stop) {
            world.saw("engine stopped and gone on");
            let pause = world.delay(100, 20_000);
            world.tell(&watch::name(life), "all", || format!("[{}] is stopped for {} ms", life.1, pause / 1_000));
            self.tasks[place].stopped_until = world.now() + pause;
            world.wake(life, pause);
            if has_names && world.choices.borrow_mut().below(2) == 1 {
                // Whoever looks after it believes it dead, and starts another of its name.
                world.carry(world.delay(10, 4_000), move |world| world.starting.borrow_mut().push(life.0));
            }
            return true;
        }
        false
    }

    /// Names that two processes have: the younger one should be alone. One that never reaches Postgres cannot know.
    fn namesakes(&self) -> Vec<usize> {
        let cut_off = &self.world.outage.borrow().cut_off;
        let living = self.tasks.iter().filter(|task| !cut_off.contains(&task.life)).map(|task| task.life.0);
        let mut seen = BTreeSet::new();
        let has_names = self.world.knobs.borrow().has_names;
        living.filter(|slot| has_names && !seen.insert(*slot)).collect()
    }

    /// Faults end: one engine is well, the others are dead for good, or well too.
    fn heal(&mut self) {
        let world = Rc::clone(&self.world);
        world.is_unsafe.set(false);
        let fates = if world.knobs.borrow().one_way { 4 } else { 2 };
        let healed = world.knobs.borrow().healed();
        *world.knobs.borrow_mut() = healed;
        world.outage.borrow_mut().heal();
        world.broker.borrow_mut().away_until = 0;
        world.tell("world", "all", || "heals".to_owned());
        let lives: Vec<Life> = self.tasks.iter().map(|task| task.life).collect();
        for life in lives.into_iter().filter(|life| life.0 != 0) {
            let fate = world.choices.borrow_mut().below(fates);
            match fate {
                0 => {}
                1 => self.end(life, (1_000, 8_000)),
                2 => {
                    world.saw("engine cut off from Kafka for good");
                    world.tell(&watch::name(life), "all", || format!("[{}] never reaches Kafka again", life.1));
                    world.broker.borrow_mut().cut_off.insert(life);
                    world.carry(world.delay(1_000, 8_000), move |world| {
                        world.broker.borrow_mut().group.leave(life);
                        rebalance(world);
                    });
                }
                _ => {
                    world.saw("engine cut off from Postgres for good");
                    world.tell(&watch::name(life), "all", || format!("[{}] never reaches Postgres again", life.1));
                    world.outage.borrow_mut().cut_off.insert(life);
                }
            }
        }
        for task in &mut self.tasks {
            if task.stopped_until > world.now() {
                task.stopped_until = 0;
                world.wake(task.life, 0);
            }
        }
        if !self.tasks.iter().any(|task| task.life.0 == 0) && !world.starting.borrow().contains(&0) {
            self.start(0);
        }
    }
}

/// Runs one schedule to its end.
pub(crate) fn run(mut choices: Choices, shapes: &[Shape], story: Story) -> Ended {
    let mut knobs = Knobs::draw(&mut choices);
    let count = 1 + choices.below(2);
    let most = u32::try_from(shapes.len()).expect("few shapes");
    let chosen: Vec<&Shape> =
        (0..count).map(|_| &shapes[usize::try_from(choices.below(most)).expect("few shapes")]).collect();
    if chosen.iter().any(|shape| shape.is_large()) {
        knobs.sagas = knobs.sagas.min(SAGAS_OF_A_LARGE_SHAPE);
    }
    let given = Given { knobs, script: Script::default(), interference: Interference::default() };
    run_with(choices, given, &chosen, story)
}

/// What is not left to chance.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) knobs: Knobs,
    pub(crate) script: Script,
    pub(crate) interference: Interference,
}

/// The same with everything given.
pub(crate) fn run_with(choices: Choices, given: Given, shapes: &[&Shape], story: Story) -> Ended {
    let Given { knobs, script, interference } = given;
    let world = build(choices, knobs, shapes, script, story);
    let engines = world.knobs.borrow().engines;
    people::plan(&world, shapes);
    let mut engines_of_world =
        Engines { world: Rc::clone(&world), tasks: Vec::new(), lives: BTreeMap::new(), interference, polls: 0 };
    (0..engines).for_each(|slot| engines_of_world.start(usize::try_from(slot).expect("few engines")));
    let heals_at = BEGINS + i64::from(world.knobs.borrow().unsafe_ms) * 1_000;
    turn_until(&mut engines_of_world, heals_at, |_| false);
    engines_of_world.heal();
    let until = world.now().max(heals_at) + SETTLES_WITHIN;
    if !turn_until(&mut engines_of_world, until, is_settled) {
        unsettled(&engines_of_world);
    }
    audit::audit(&world);
    let polls = engines_of_world.polls;
    drop(engines_of_world);
    let violations = world.violations.take();
    let story = world.story.borrow().draw();
    let tape = std::mem::take(&mut world.choices.borrow_mut().made);
    Ended { violations, tape, sometimes: world.sometimes.take(), story, polls, outcome: outcome(&world) }
}

fn outcome(world: &World) -> Vec<(String, Phase, Vec<String>)> {
    let participants = world.participants.borrow();
    let effects = |id| {
        let places = participants.ledger.keys().filter(|place| place.0 == id && participants.effect(place) != 0);
        places.map(|place| place.1.to_string()).collect()
    };
    let rows = world.database.rows().into_iter();
    rows.map(|row| (row.business_key.to_string(), row.phase, effects(row.id))).collect()
}

fn build(choices: Choices, knobs: Knobs, shapes: &[&Shape], script: Script, story: Story) -> Rc<World> {
    let plans = shapes.iter().flat_map(|shape| shape.plans.iter().cloned()).collect();
    let world = World::new(choices, knobs, plans, script, story);
    let partitions = world.knobs.borrow().partitions;
    for plan in &world.plans {
        let definition = plan.definition();
        let mut broker = world.broker.borrow_mut();
        for topic in [&definition.trigger_topic, &definition.reply_topic, &definition.outcome_topic] {
            broker.create(topic, partitions);
        }
        definition.steps.iter().for_each(|step| broker.create(&step.command_topic, partitions));
    }
    for shape in shapes {
        world.database.deploy(&shape.rows[..1], false).expect("the first versions");
    }
    world
}

/// Goes on until a moment, or until what is looked for is so. True when it was.
fn turn_until(engines: &mut Engines, until: i64, is_so: impl Fn(&Engines) -> bool) -> bool {
    let world = Rc::clone(&engines.world);
    let (mut events, mut look_at) = (0_u64, 0);
    loop {
        match world.next(until) {
            Next::Wake(life) => engines.poll(life),
            Next::Acted => {}
            Next::Nothing => return false,
        }
        let starting = std::mem::take(&mut *world.starting.borrow_mut());
        starting.into_iter().for_each(|slot| engines.start(slot));
        events += 1;
        if events > EVENTS_MAX {
            world.violated("a livelock: too many events".to_owned());
            return true;
        }
        if world.now() >= look_at && !world.is_unsafe.get() {
            look_at = world.now() + LOOK;
            if is_so(engines) {
                return true;
            }
        }
        if world.violations.borrow().len() > 3 {
            return true;
        }
    }
}

/// Nothing is under way, every record is judged, everything decided was sent, no saga moves by itself any more, and no name has two
/// processes.
fn is_settled(engines: &Engines) -> bool {
    let world = &engines.world;
    world.under_way.get() == 0
        && world.database.undecided() == 0
        && world.database.unemitted() == 0
        && audit::unread(world).is_none()
        && !world.database.rows().iter().any(is_moving)
        && engines.namesakes().is_empty()
}

/// True for a saga that moves by itself: a stuck one still asks again for what it has no answer to, one that has ended for the undo of a
/// late success.
fn is_moving(row: &SagaRow) -> bool {
    let asks_again = row.phase != Phase::Paused && row.wake_at.is_some();
    matches!(row.phase, Phase::Running | Phase::Compensating) || asks_again
}

fn unsettled(engines: &Engines) {
    let world = &engines.world;
    let rows = world.database.rows();
    let moving = rows.iter().filter(|row| is_moving(row));
    let open: Vec<String> = moving.map(|row| format!("{} {}", row.business_key, row.phase)).collect();
    world.violated(format!(
        "the healed world does not come to its end: open {open:?}, under way {}, undecided {}, unemitted {}, unread {:?}, twice {:?}",
        world.under_way.get(),
        world.database.undecided(),
        world.database.unemitted(),
        audit::unread(world),
        engines.namesakes()
    ));
}

#[expect(clippy::await_holding_refcell_ref, reason = "one future runs an engine; the next one is made when it is gone")]
fn running(engine: &Rc<RefCell<Engine<SimStore, SimBus, SimClock>>>, stop: &Arc<Stop>) -> Running {
    let (engine, stop) = (Rc::clone(engine), Arc::clone(stop));
    Box::pin(async move { engine.borrow_mut().run(&stop).await })
}
