//! Participants that keep the contract (CONTRACT.md section 4), written from the contract and from nothing of ours, with a ledger of
//! every effect. In seeds that look for detection one contradicts itself.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use sagabus::core::{Action, Answer, Json, Outcome, Sha256};
use sagabus::wire::{self, Received};
use uuid::Uuid;

use super::broker::{append_answer, is_excused};
use super::script::Says;
use super::world::World;

/// A step of a saga.
pub(crate) type Place = (Uuid, Arc<str>);

/// What a command did to the world.
pub(crate) struct Effect {
    pub(crate) at: i64,
    /// +1 done or -1 undone.
    pub(crate) sign: i32,
    pub(crate) by: Uuid,
}

/// What all participants remember.
#[derive(Default)]
pub(crate) struct Participants {
    stored: BTreeMap<Uuid, (Sha256, Answer)>,
    deliveries: BTreeMap<Uuid, u32>,
    closed: BTreeSet<Place>,
    /// Effects of each step in order.
    pub(crate) ledger: BTreeMap<Place, Vec<Effect>>,
    /// Sagas with a participant that changed its mind, whether anybody heard of it or not.
    pub(crate) contradicted: BTreeSet<Uuid>,
    /// Every answer that was written, and when.
    pub(crate) answers: Vec<(i64, Received, Answer)>,
}

impl Participants {
    /// How often this command has come, with this time.
    fn asked(&mut self, command: Uuid) -> u32 {
        let count = self.deliveries.entry(command).or_insert(0);
        *count += 1;
        *count
    }

    /// 1 while the step's effect is there.
    pub(crate) fn effect(&self, place: &Place) -> i32 {
        self.ledger.get(place).map_or(0, |effects| effects.iter().map(|effect| effect.sign).sum())
    }
}

/// A command is on its way to its participant.
pub(crate) fn deliver(world: &Rc<World>, command: Received) {
    let slow = world.knobs.borrow().command_slow;
    let delay = if world.happens(slow) { world.long_delay(100, 12_000) } else { world.delay(0, 10) };
    world.carry(delay, move |world| handle(world, &command));
}

fn handle(world: &Rc<World>, command: &Received) {
    let stored = world.participants.borrow().stored.get(&command.id).cloned();
    let answer = match stored {
        Some((hash, _)) if hash != command.data_hash => {
            if !is_excused(world, command) {
                world.violated(format!("command {} came with other data", command.id));
            }
            failure(command, Answer::CONFLICT, false)
        }
        Some((_, stored)) => {
            world.saw("command delivered twice");
            let contradicts = world.knobs.borrow().contradicts;
            if world.happens(contradicts) {
                world.saw("participant contradicted itself");
                world.participants.borrow_mut().contradicted.insert(command.saga_id);
                failure(command, "CHANGED_ITS_MIND", false)
            } else {
                stored
            }
        }
        None => {
            let answer = perform(world, command);
            let mut participants = world.participants.borrow_mut();
            participants.stored.insert(command.id, (command.data_hash, answer.clone()));
            answer
        }
    };
    reply(world, command, answer);
}

fn success(command: &Received, without_effect: bool) -> Answer {
    let token = &command.id.to_string()[..8];
    Answer {
        id: Arc::from(format!("r-{}", command.id)),
        outcome: Outcome::Success,
        data: Json::parse(format!(r#"{{"token":"{token}"}}"#).as_bytes()).expect("it is JSON"),
        code: None,
        retryable: false,
        without_effect,
    }
}

fn failure(command: &Received, code: &str, retryable: bool) -> Answer {
    Answer {
        id: Arc::from(format!("r-{}", command.id)),
        outcome: Outcome::Failure,
        data: Json::parse(br#"{"message":"no"}"#).expect("it is JSON"),
        code: Some(Arc::from(code)),
        retryable,
        without_effect: false,
    }
}

/// One command's effect and answer, decided once: the rules of the barrier.
fn perform(world: &Rc<World>, command: &Received) -> Answer {
    let knobs = world.knobs.borrow().clone();
    let place: Place = (command.saga_id, Arc::clone(&command.step));
    let has_effect = !command.kind.starts_with("read.");
    let scripted = world.script.says(&command.step, command.action, command.attempt);
    match command.action {
        Action::Do => {
            let is_expired = command.expires_at.is_some_and(|at| at <= world.date());
            if world.participants.borrow().closed.contains(&place) {
                world.saw("late do refused");
                failure(command, "saga.step_closed", false)
            } else if is_expired && world.happens(knobs.expires) {
                world.saw("expired do refused");
                failure(command, "saga.expired", false)
            } else if scripted == Some(Says::Busy) || world.happens(knobs.fails_retryably) {
                failure(command, "BUSY", true)
            } else if scripted == Some(Says::No) || world.happens(knobs.fails) {
                failure(command, "REFUSED", false)
            } else {
                let there = world.participants.borrow().effect(&place);
                // Who says that nothing happened although it did is asked again, by a person's word.
                let is_misled = world.participants.borrow().contradicted.contains(&command.saga_id);
                if there != 0 && has_effect && !is_misled {
                    world.violated(format!("step {} of saga {} has a second effect", command.step, command.saga_id));
                }
                if has_effect {
                    note(world, place, 1, command.id);
                }
                success(command, false)
            }
        }
        Action::Undo => {
            let was_closed = !world.participants.borrow_mut().closed.insert(place.clone());
            let there = world.participants.borrow().effect(&place) != 0;
            if !there {
                if !was_closed {
                    world.saw("undo before its do");
                }
                return success(command, true);
            }
            if matches!(scripted, Some(Says::No | Says::Busy)) || world.happens(knobs.undo_fails) {
                let retryable = scripted != Some(Says::No) && world.choices.borrow_mut().below(4) != 3;
                return failure(command, "CANNOT_UNDO", retryable);
            }
            note(world, place, -1, command.id);
            success(command, false)
        }
    }
}

fn note(world: &Rc<World>, place: Place, sign: i32, by: Uuid) {
    let effect = Effect { at: world.now(), sign, by };
    world.participants.borrow_mut().ledger.entry(place).or_default().push(effect);
}

/// The answer goes out: perhaps late, perhaps twice, perhaps never (it is asked again).
fn reply(world: &Rc<World>, command: &Received, answer: Answer) {
    let knobs = world.knobs.borrow().clone();
    let scripted = world.script.says(&command.step, command.action, command.attempt);
    if matches!(scripted, Some(Says::Progress(_))) || world.happens(knobs.progresses) {
        let progress = Answer {
            id: Arc::from(format!("p-{}-{}", command.id, world.now())),
            outcome: Outcome::Progress,
            data: Json::empty_object(),
            ..answer.clone()
        };
        send(world, command, Answer { code: None, retryable: false, without_effect: false, ..progress }, 0);
    }
    let asked = world.participants.borrow_mut().asked(command.id);
    if matches!(scripted, Some(Says::Silent(times)) if asked < times) {
        return;
    }
    if let Some(Says::Late(ms) | Says::Progress(ms)) = scripted {
        return send(world, command, answer, i64::from(ms) * 1_000);
    }
    if world.happens(knobs.answer_dropped) {
        world.saw("answer dropped");
        return;
    }
    if world.happens(knobs.answer_doubled) {
        world.saw("answer doubled");
        let delay = world.long_delay(0, 6_000);
        send(world, command, answer.clone(), delay);
    }
    let delay = if world.happens(knobs.answer_slow) { world.long_delay(200, 9_000) } else { world.delay(0, 10) };
    send(world, command, answer, delay);
}

fn send(world: &Rc<World>, command: &Received, answer: Answer, delay: i64) {
    let command = command.clone();
    world.carry(delay, move |world| {
        let away = world.broker.borrow().away_until - world.now();
        if away > 0 {
            return send(world, &command, answer, away + 1_000);
        }
        let record = wire::answer(&command, "simulated", &answer);
        append_answer(world, &command, &record);
        world.participants.borrow_mut().answers.push((world.now(), command, answer));
    });
}

/// When an effect of the step was there at `at`.
pub(crate) fn effect_at(effects: &[Effect], at: i64) -> i32 {
    effects.iter().filter(|effect| effect.at <= at).map(|effect| effect.sign).sum()
}
