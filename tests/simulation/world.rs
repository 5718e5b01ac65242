//! The world of one schedule: virtual time, everything that will happen, and what all its parts share. One thread, no real clock.
//!
//! ```text
//! timers (at, order) --> Act: something happens in the world     (a record is appended, a participant answers, a rebalance)
//!                    \-> Wake: an engine's future is polled once  (or killed, or stopped for a while, instead)
//! ```

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use sagabus::core::{StepIx, Timestamp};
use sagabus::definition::Compiled;
use sagabus::store::MemoryDatabase;

use super::broker::Broker;
use super::choices::Choices;
use super::knobs::Knobs;
use super::participants::Participants;
use super::script::Script;
use super::sometimes::Sometimes;
use super::story::Story;
use super::watch::UndoDecided;

/// The virtual moment at which every schedule begins.
pub(crate) const BEGINS: i64 = 1_700_000_000_000_000;

/// One life of one engine process: (its slot, how many lives that slot has had).
pub(crate) type Life = (usize, u32);

type Act = Box<dyn FnOnce(&Rc<World>)>;

enum What {
    Act(Act),
    Wake(Life),
}

/// Something that will happen.
struct Timer {
    at: i64,
    order: u64,
    what: What,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// What happens next.
pub(crate) enum Next {
    Wake(Life),
    Acted,
    Nothing,
}

/// Everything that a schedule's parts share.
pub(crate) struct World {
    pub(crate) choices: RefCell<Choices>,
    pub(crate) knobs: RefCell<Knobs>,
    pub(crate) broker: RefCell<Broker>,
    pub(crate) database: MemoryDatabase,
    pub(crate) outage: RefCell<super::database::Outage>,
    pub(crate) participants: RefCell<Participants>,
    pub(crate) issued: RefCell<super::watch::Issued>,
    pub(crate) plans: Vec<Arc<Compiled>>,
    pub(crate) sometimes: RefCell<Sometimes>,
    pub(crate) story: RefCell<Story>,
    pub(crate) violations: RefCell<Vec<String>>,
    /// Acts that carry something (records, answers, statements): a world is quiet when none is under way.
    pub(crate) under_way: Cell<usize>,
    /// How often engines panicked by chance.
    pub(crate) panicked: RefCell<BTreeMap<Life, u64>>,
    /// Slots whose process is to be started.
    pub(crate) starting: RefCell<Vec<usize>>,
    /// Sagas that an operator acted on, also by an action that a fail-over lost.
    pub(crate) steered: RefCell<BTreeSet<uuid::Uuid>>,
    /// Those of them on which people only used verbs that end a saga by its own rules: their effects must fit all the same.
    pub(crate) ended: RefCell<BTreeSet<uuid::Uuid>>,
    /// What operators asked who had seen the same row.
    pub(crate) contested: RefCell<Vec<super::race::Contested>>,
    /// What was known when undos were decided, also by facts that a fail-over lost: kept where one may come.
    pub(crate) undos_decided: RefCell<BTreeMap<(uuid::Uuid, StepIx), Vec<UndoDecided>>>,
    /// Steps of each saga that wait and command nobody, since their notice was decided.
    pub(crate) notices: RefCell<BTreeMap<uuid::Uuid, BTreeSet<StepIx>>>,
    /// Those that were answered with success.
    pub(crate) approved: RefCell<BTreeSet<(uuid::Uuid, StepIx)>>,
    /// Some step of some definition is one of those.
    pub(crate) has_waits: bool,
    /// Triggers that were written: topic and key.
    pub(crate) triggered: RefCell<BTreeSet<(Arc<str>, String)>>,
    /// Triggers among records that retention removed: they may have been lost.
    pub(crate) forgotten: RefCell<BTreeSet<(Arc<str>, String)>>,
    pub(crate) has_removed_records: Cell<bool>,
    /// Something was held: a command that expired meanwhile is followed by another attempt.
    pub(crate) has_held: Cell<bool>,
    /// What participants answer and people ask, where chance does not decide it.
    pub(crate) script: Script,
    /// False once the faults have ended.
    pub(crate) is_unsafe: Cell<bool>,
    now: Cell<i64>,
    polling: Cell<Option<Life>>,
    order: Cell<u64>,
    timers: RefCell<BinaryHeap<Reverse<Timer>>>,
}

impl World {
    pub(crate) fn new(
        choices: Choices,
        knobs: Knobs,
        plans: Vec<Arc<Compiled>>,
        script: Script,
        story: Story,
    ) -> Rc<Self> {
        let has_waits = plans.iter().any(|plan| plan.definition().steps.iter().any(|step| step.waits.is_some()));
        let world = Self {
            choices: RefCell::new(choices),
            knobs: RefCell::new(knobs),
            broker: RefCell::default(),
            database: MemoryDatabase::default(),
            outage: RefCell::default(),
            participants: RefCell::default(),
            issued: RefCell::default(),
            plans,
            sometimes: RefCell::default(),
            story: RefCell::new(story),
            violations: RefCell::default(),
            under_way: Cell::new(0),
            panicked: RefCell::default(),
            starting: RefCell::default(),
            steered: RefCell::default(),
            ended: RefCell::default(),
            contested: RefCell::default(),
            undos_decided: RefCell::default(),
            notices: RefCell::default(),
            approved: RefCell::default(),
            has_waits,
            triggered: RefCell::default(),
            forgotten: RefCell::default(),
            has_removed_records: Cell::new(false),
            has_held: Cell::new(false),
            script,
            is_unsafe: Cell::new(true),
            now: Cell::new(BEGINS),
            polling: Cell::new(None),
            order: Cell::new(0),
            timers: RefCell::default(),
        };
        world.database.set_now(Timestamp::from_micros(BEGINS));
        Rc::new(world)
    }

    /// Virtual microseconds.
    pub(crate) fn now(&self) -> i64 {
        self.now.get()
    }

    /// The same as a date.
    pub(crate) fn date(&self) -> Timestamp {
        Timestamp::from_micros(self.now())
    }

    fn push(&self, at: i64, what: What) {
        let order = self.order.get();
        self.order.set(order + 1);
        self.timers.borrow_mut().push(Reverse(Timer { at: at.max(self.now()), order, what }));
    }

    /// Does something after so many microseconds.
    pub(crate) fn after(&self, micros: i64, act: impl FnOnce(&Rc<Self>) + 'static) {
        self.push(self.now() + micros, What::Act(Box::new(act)));
    }

    /// The same for what carries something: the world is not quiet before it has happened.
    pub(crate) fn carry(&self, micros: i64, act: impl FnOnce(&Rc<Self>) + 'static) {
        self.under_way.set(self.under_way.get() + 1);
        self.after(micros, move |world| {
            world.under_way.set(world.under_way.get() - 1);
            act(world);
        });
    }

    /// Polls a life after so many microseconds, if it still lives.
    pub(crate) fn wake(&self, life: Life, micros: i64) {
        self.push(self.now() + micros, What::Wake(life));
    }

    /// Goes on to what happens next, up to `until`.
    pub(crate) fn next(self: &Rc<Self>, until: i64) -> Next {
        let timer = {
            let mut timers = self.timers.borrow_mut();
            match timers.peek() {
                Some(Reverse(timer)) if timer.at <= until => timers.pop(),
                Some(_) | None => None,
            }
        };
        let Some(Reverse(timer)) = timer else { return Next::Nothing };
        self.now.set(timer.at);
        match timer.what {
            What::Act(act) => {
                act(self);
                Next::Acted
            }
            What::Wake(life) => Next::Wake(life),
        }
    }

    /// Moves the database's clock on: before a statement looks at it.
    pub(crate) fn sync(&self) {
        self.database.set_now(self.outage.borrow().database_now(self.now()));
    }

    /// The life whose future is polled now: what it waits for wakes it.
    pub(crate) fn set_polling(&self, life: Option<Life>) {
        self.polling.set(life);
    }

    pub(crate) fn polling(&self) -> Life {
        self.polling.get().expect("only an engine's future waits")
    }

    /// Waits so many microseconds, or until something else wakes the life.
    pub(crate) fn wait(self: &Rc<Self>, micros: i64) -> Wait {
        Wait { world: Rc::clone(self), until: self.now() + micros, is_armed: false, may_be_woken: true }
    }

    /// Waits so many microseconds.
    pub(crate) fn sleep(self: &Rc<Self>, micros: i64) -> Wait {
        Wait { may_be_woken: false, ..self.wait(micros) }
    }

    pub(crate) fn happens(&self, in_10_000: u32) -> bool {
        self.choices.borrow_mut().happens(in_10_000)
    }

    /// A delay between these bounds, in microseconds, short ones more often.
    pub(crate) fn delay(&self, low_ms: u32, high_ms: u32) -> i64 {
        let millis = low_ms + self.choices.borrow_mut().heavy_tailed(high_ms - low_ms);
        i64::from(millis) * 1_000 + 100
    }

    /// A delay between these bounds, in microseconds, long ones as often as short ones.
    pub(crate) fn long_delay(&self, low_ms: u32, high_ms: u32) -> i64 {
        i64::from(self.choices.borrow_mut().between(low_ms, high_ms)) * 1_000 + 100
    }

    /// Counts a rare situation.
    pub(crate) fn saw(&self, what: &'static str) {
        self.sometimes.borrow_mut().saw(what);
    }

    /// A promise was broken.
    pub(crate) fn violated(&self, what: String) {
        self.tell("world", "all", || format!("VIOLATED {what}"));
        self.violations.borrow_mut().push(what);
    }

    /// A line of the story, if anybody reads it.
    pub(crate) fn tell(&self, from: &str, to: &str, what: impl FnOnce() -> String) {
        let at = self.now() - BEGINS;
        self.story.borrow_mut().tell(at, from, to, what);
    }
}

/// Waiting, in virtual time.
pub(crate) struct Wait {
    world: Rc<World>,
    until: i64,
    is_armed: bool,
    may_be_woken: bool,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        if self.world.now() >= self.until || self.is_armed && self.may_be_woken {
            return Poll::Ready(());
        }
        if !self.is_armed {
            self.is_armed = true;
            self.world.wake(self.world.polling(), self.until - self.world.now());
        }
        Poll::Pending
    }
}

/// The output of a future that never waits.
pub(crate) fn instantly<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the store in memory never waits"),
    }
}
