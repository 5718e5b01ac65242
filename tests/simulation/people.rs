//! Everybody who is neither engine nor participant: who starts sagas, operators, deployments, whoever writes rubbish, and fate.

use std::rc::Rc;
use std::sync::Arc;

use sagabus::core::{Json, Operation, Partition, Resolution, Step, Verb};
use sagabus::store::HoldTarget;
use sagabus::wire;
use uuid::Uuid;

use super::broker::{append, append_raw};
use super::database::fail_over;
use super::definitions::Shape;
use super::group::rebalance;
use super::race;
use super::world::World;

/// How long anything is held.
const HELD_AT_MOST: i64 = 21_000_000;

/// How often operators look for stopped partitions.
const LOOKS_AFTER: i64 = 3_000_000;

/// Plans what people and fate will do while faults happen.
pub(crate) fn plan(world: &Rc<World>, shapes: &[&Shape]) {
    let knobs = world.knobs.borrow().clone();
    let some_time = || i64::from(world.choices.borrow_mut().below(knobs.unsafe_ms)) * 1_000;
    for number in 0..knobs.sagas {
        let shape = shapes[usize::try_from(number).expect("few sagas") % shapes.len()];
        let (topic, key) = (Arc::clone(&shape.plans[0].definition().trigger_topic), format!("k{number}"));
        let at = some_time();
        {
            let (topic, key) = (Arc::clone(&topic), key.clone());
            world.carry(at, move |world| trigger(world, &topic, &key, 0));
        }
        if world.happens(knobs.trigger_again) {
            let other = world.choices.borrow_mut().below(2);
            world.carry(at + some_time(), move |world| {
                world.saw(if other == 0 { "trigger again: duplicate" } else { "trigger again: conflict" });
                trigger(world, &topic, &key, other);
            });
        }
    }
    follow_script(world);
    plan_holds(world, knobs.holds, some_time);
    for number in 0..knobs.operations {
        world.carry(some_time(), move |world| operate(world, number));
    }
    for number in 0..knobs.redrives {
        world.carry(some_time(), move |world| send_again(world, number));
    }
    for _ in 0..knobs.hostile {
        world.carry(some_time(), write_rubbish);
    }
    for _ in 0..knobs.reloads {
        let rows = shapes[0].rows.clone();
        world.carry(some_time(), move |world| {
            world.saw("definition reloaded");
            world.database.deploy(&rows[1..], false).expect("versions grow");
        });
    }
    for _ in 0..knobs.rebalances {
        world.after(some_time(), |world| {
            world.saw("rebalance");
            rebalance(world);
        });
    }
    for _ in 0..knobs.truncations {
        world.carry(some_time(), truncate);
    }
    if knobs.truncations > 0 {
        world.after(LOOKS_AFTER, look_after_partitions);
    }
    for _ in 0..knobs.seeks {
        world.carry(some_time(), seek_back);
    }
    for _ in 0..knobs.growths {
        world.carry(some_time(), grow);
    }
    for _ in 0..knobs.broker_outages {
        world.after(some_time(), |world| {
            world.saw("broker away");
            let back = world.now() + world.delay(200, 8_000);
            world.tell("kafka", "all", || "is away".to_owned());
            world.broker.borrow_mut().away_until = back;
        });
    }
    for _ in 0..knobs.failovers {
        world.after(some_time(), fail_over);
    }
}

/// What the script says that people ask.
fn follow_script(world: &Rc<World>) {
    for (number, (at_ms, verb)) in (1_u128..).zip(world.script.asked.clone()) {
        world.carry(at_ms * 1_000, move |world| {
            let ids = (number * 1_000_000..).zip(world.database.rows());
            ids.for_each(|(id, row)| ask(world, row.id, Uuid::from_u128(id), verb.clone(), None));
        });
    }
    if let Some(contest) = world.script.contest.clone() {
        world.carry(contest.looked_at_ms * 1_000, move |world| race::look(world, &contest.asked));
    }
}

/// An event that starts a saga. `other`: with other data than the first of its key.
fn trigger(world: &Rc<World>, topic: &Arc<str>, key: &str, other: u32) {
    let data = Json::parse(format!(r#"{{"id":"{key}","amount":{}}}"#, 100 + other).as_bytes()).expect("it is JSON");
    world.triggered.borrow_mut().insert((Arc::clone(topic), key.to_owned()));
    world.tell("people", "kafka", || format!("{topic} {key}"));
    append(world, &wire::new_trigger(topic, key, "go", &format!("t-{key}"), "/people", data));
}

/// A topic that engines read, and one of its partitions.
fn some_partition(world: &World) -> Partition {
    let mut choices = world.choices.borrow_mut();
    let plan =
        &world.plans[usize::try_from(choices.below(u32::try_from(world.plans.len()).expect("few"))).expect("few")];
    let definition = plan.definition();
    let topic = if choices.below(2) == 0 { &definition.reply_topic } else { &definition.trigger_topic };
    let number = choices.below(world.broker.borrow().partitions(topic));
    (Arc::clone(topic), i32::try_from(number).expect("few partitions"))
}

fn some_offset(world: &World, from: i64, to: i64) -> i64 {
    from + i64::from(world.choices.borrow_mut().below(u32::try_from(to - from).expect("few records") + 1))
}

/// Retention removes the beginning of a partition, whoever has read it.
fn truncate(world: &Rc<World>) {
    let partition = some_partition(world);
    let (begin, end) = world.broker.borrow().bounds(&partition);
    let before = some_offset(world, begin, end);
    if before == begin {
        return;
    }
    world.has_removed_records.set(true);
    world.saw("records removed by retention");
    world.tell("kafka", "all", || format!("{}/{} begins at {before}", partition.0, partition.1));
    let removed: Vec<String> = {
        let broker = world.broker.borrow();
        let keys = broker.stretch(&partition, begin, before).filter_map(wire::Record::key);
        keys.map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    };
    world.forgotten.borrow_mut().extend(removed.into_iter().map(|key| (Arc::clone(&partition.0), key)));
    world.broker.borrow_mut().truncate(&partition, before);
}

/// An operator restarts stopped partitions where their logs begin.
fn look_after_partitions(world: &Rc<World>) {
    for partition in world.database.stopped() {
        let (begin, _) = world.broker.borrow().bounds(&partition);
        let next = world.database.offset(&partition).map_or(begin, |(_, next, ..)| next);
        world.saw("stopped partition sought");
        world.tell("people", "postgres", || format!("seek {}/{} to {}", partition.0, partition.1, next.max(begin)));
        world.database.seek(&partition, next.max(begin));
    }
    world.after(LOOKS_AFTER, look_after_partitions);
}

/// An operator moves a running partition back: everything behind is judged again.
fn seek_back(world: &Rc<World>) {
    let partition = some_partition(world);
    let (begin, _) = world.broker.borrow().bounds(&partition);
    let Some((_, next, ..)) = world.database.offset(&partition) else { return };
    if next > begin {
        let to = some_offset(world, begin, next - 1);
        world.saw("running partition sought back");
        world.tell("people", "postgres", || format!("seek {}/{} back to {to}", partition.0, partition.1));
        world.database.seek(&partition, to);
    }
}

/// A topic gets a partition more: keys move, and the group hears of it some time later.
fn grow(world: &Rc<World>) {
    let (topic, _) = some_partition(world);
    let mut broker = world.broker.borrow_mut();
    let partitions = broker.partitions(&topic) + 1;
    broker.create(&topic, partitions);
    drop(broker);
    world.saw("partition added");
    world.tell("kafka", "all", || format!("{topic} has {partitions} partitions"));
    world.carry(world.delay(0, 3_000), rebalance);
}

/// An operator acts on some saga.
fn operate(world: &Rc<World>, number: u32) {
    let rows = world.database.rows();
    if rows.is_empty() {
        return;
    }
    let mut choices = world.choices.borrow_mut();
    let row = &rows[usize::try_from(choices.below(u32::try_from(rows.len()).expect("few"))).expect("few")];
    let plan = world.plans.iter().find(|plan| plan.definition().hash == row.definition_hash).expect("deployed");
    let steps = &plan.definition().steps;
    let what = choices.below(18);
    // Answers are for those that wait, mostly.
    let waiting: Vec<&Step> = steps.iter().filter(|step| what >= 14 && step.waits.is_some()).collect();
    let of: Vec<&Step> = if waiting.is_empty() { steps.iter().collect() } else { waiting };
    let chosen = choices.below(u32::try_from(of.len()).expect("few"));
    let step = of[usize::try_from(chosen).expect("few")].name.to_string();
    let data = || Json::parse(br#"{"token":"by-hand"}"#).expect("it is JSON");
    let verb = match what {
        0 => Verb::Cancel,
        1 => Verb::Resume,
        2 => Verb::Republish { step },
        3 => Verb::Retry { step: Some(step), force: false },
        4 => Verb::Edit { step, data: data() },
        5 => Verb::Skip { step, reply: Some(data()) },
        6 => Verb::Complete { step, reply: data() },
        7 => Verb::Fail { step, code: "BY_HAND".to_owned() },
        8 => Verb::Compensate,
        9 | 10 => Verb::Pause,
        11 => Verb::Resolve { step, outcome: Resolution::Left },
        12 => Verb::Resolve { step, outcome: Resolution::Undone },
        14 | 15 => Verb::Approve { step, reply: Some(data()) },
        16 => Verb::Reject { step, code: "BY_HAND".to_owned() },
        17 => Verb::Signal { step, data: Some(data()) },
        _ => Verb::Abandon,
    };
    let is_pause = verb == Verb::Pause;
    drop(choices);
    world.tell("people", "postgres", || format!("{} {verb:?}", row.business_key));
    ask(world, row.id, Uuid::from_u128(number.into()), verb, None);
    if is_pause {
        let (id, delay) = (row.id, world.delay(100, 8_000));
        world
            .carry(delay, move |world| ask(world, id, Uuid::from_u128(1_000 + u128::from(number)), Verb::Resume, None));
    }
}

fn plan_holds(world: &Rc<World>, holds: u32, some_time: impl Fn() -> i64) {
    for _ in 0..holds {
        world.carry(some_time(), hold);
    }
    if holds > 0 {
        let is_over = i64::from(world.knobs.borrow().unsafe_ms) * 1_000 + HELD_AT_MOST;
        world.carry(is_over, |world| {
            // A fail-over may have lost that they were released.
            world.database.holds().into_iter().for_each(|hold| _ = world.database.release(hold.id));
        });
    }
}

/// A person holds something for a while.
fn hold(world: &Rc<World>) {
    let some = |count: usize| -> usize {
        let below = world.choices.borrow_mut().below(u32::try_from(count).expect("few"));
        usize::try_from(below).expect("few")
    };
    let definition = world.plans[some(world.plans.len())].definition();
    let step = &definition.steps[some(definition.steps.len())];
    let target = match some(3) {
        0 => HoldTarget::Definition(Arc::clone(&definition.name)),
        1 => HoldTarget::Step { definition: Arc::clone(&definition.name), step: Arc::clone(&step.name) },
        _ => HoldTarget::Participant(Arc::clone(&step.participant)),
    };
    world.tell("people", "postgres", || format!("hold {target}"));
    let Some(id) = world.database.hold(target) else { return };
    world.has_held.set(true);
    world.carry(world.delay(100, 20_000), move |world| {
        world.tell("people", "postgres", || format!("release h{id}"));
        world.database.release(id);
    });
}

/// A person sends a record that was put aside down the line again, as it is.
fn send_again(world: &Rc<World>, number: u32) {
    let parked = world.database.parked();
    let Some(last) = parked.len().checked_sub(1) else { return };
    let chosen = usize::try_from(some_offset(world, 0, i64::try_from(last).expect("few"))).expect("not negative");
    let message = parked[chosen].clone();
    world.saw("parked record sent again");
    world.tell("people", "postgres", || format!("{}/{}@{} again", message.topic, message.partition, message.offset));
    world.database.redrive(Uuid::from_u128(9_000_000 + u128::from(number)), message);
}

/// An operator asks for an action; `expect_seq`: on the journal row that was seen.
pub(crate) fn ask(world: &Rc<World>, saga_id: Uuid, id: Uuid, verb: Verb, expect_seq: Option<u32>) {
    let keeps_the_rules = matches!(
        verb,
        Verb::Cancel
            | Verb::Compensate
            | Verb::Pause
            | Verb::Resume
            | Verb::Republish { .. }
            | Verb::Fail { .. }
            | Verb::Signal { .. }
            | Verb::Approve { .. }
            | Verb::Reject { .. }
    );
    let is_first = world.steered.borrow_mut().insert(saga_id);
    if is_first && keeps_the_rules {
        world.ended.borrow_mut().insert(saga_id);
    } else if !keeps_the_rules {
        world.ended.borrow_mut().remove(&saga_id);
    }
    let operation = Operation { id, verb, who: "ada".to_owned(), reason: "simulated".to_owned(), expect_seq };
    world.database.ask(saga_id, operation);
}

/// A record that nobody should have written.
fn write_rubbish(world: &Rc<World>) {
    let shape = world.choices.borrow_mut().below(8);
    let definition = world.plans[0].definition();
    let (triggers, replies) = (Arc::clone(&definition.trigger_topic), Arc::clone(&definition.reply_topic));
    let go: [(&str, Option<&[u8]>); 1] = [("ce_type", Some(b"go"))];
    world.saw("hostile record parked");
    match shape {
        0 => append_raw(world, &triggers, Some(b"x"), Some(b"not json"), &go, None),
        1 => append_raw(world, &triggers, None, None, &go, None),
        2 => append_raw(world, &triggers, Some(b"x"), Some(b"{}"), &go, None),
        3 => append_raw(world, &replies, Some(b"x"), Some(b"{}"), &[], None),
        4 => append_raw(world, &replies, Some(b"x"), Some(b"\xff\xfe"), &[("ce_id", Some(b"\0"))], None),
        5 => append_raw(world, &triggers, Some(b"x"), Some(b"{}"), &[("ce_type", Some(b"a")), ("CE_TYPE", None)], None),
        _ => forge(world),
    }
}

/// An answer to a real command from a topic that is not its reply topic, or to a command that was never sent.
fn forge(world: &Rc<World>) {
    let broker = world.broker.borrow();
    let Some(written) = broker.commands.values().next() else { return };
    let mut command = written.command.clone();
    drop(broker);
    let definition = world.plans[0].definition();
    let unknown = world.choices.borrow_mut().below(2) == 1;
    if unknown {
        command.id = Uuid::from_u128(7);
        command.reply_to = Arc::clone(&definition.reply_topic);
    } else if let Some(other) = world.plans.iter().find(|plan| plan.definition().reply_topic != command.reply_to) {
        command.reply_to = Arc::clone(&other.definition().reply_topic);
    } else {
        return;
    }
    world.saw("forged reply parked");
    let answer = sagabus::core::Answer {
        id: Arc::from("forged"),
        outcome: sagabus::core::Outcome::Success,
        data: Json::empty_object(),
        code: None,
        retryable: false,
        without_effect: false,
    };
    append(world, &wire::answer(&command, "mallory", &answer));
}
