//! What is tested: a participant's topics, the step that it performs, and the data of its commands.

use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use crate::core::{
    Action, Command, Json, Render as _, Sha256, StepIx, StepKind, Timestamp, Trigger, Undo, command_id, saga_id, start,
};
use crate::definition::{Compiled, Source};
use crate::operations::{Exit, Failure};

use super::cases::Need;
use super::script::{Data, Letter, Name};

/// How long a command that has not expired may wait, and how long ago one that has did, in milliseconds.
const PATIENCE_MS: u64 = 3_600_000;

/// What is said of the participant. Data are JSON texts in which `{saga}`, `{key}` and `{step}` stand for the saga's id, its
/// business key and the step's name: each of the kit's sagas has its own.
#[derive(Clone, Debug, Default)]
pub struct TargetOptions {
    /// The participant's command topic; default: the definition's.
    pub command_topic: Option<String>,
    /// Where it answers; default: the definition's.
    pub reply_topic: Option<String>,
    /// The definition file that the step comes from.
    pub definition: Option<PathBuf>,
    /// The step; needed with a definition.
    pub step: Option<String>,
    /// `ce_type` of its `do`; default: the definition's.
    pub command_type: Option<String>,
    /// `ce_type` of its `undo`; default: the definition's.
    pub undo_type: Option<String>,
    /// Data of its `do`; default: rendered from the definition and `trigger`.
    pub data: Option<String>,
    /// Data of its `undo`; default: rendered from the definition, else those of the `do`.
    pub undo_data: Option<String>,
    /// Data of a `do` that it refuses.
    pub failing_data: Option<String>,
    /// The data of the trigger from which the definition renders.
    pub trigger: Option<String>,
}

/// What is tested.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) command_topic: Arc<str>,
    pub(super) reply_topic: Arc<str>,
    pub(super) step: Arc<str>,
    place: StepIx,
    definition_name: Arc<str>,
    definition_version: u32,
    definition_hash: Sha256,
    command_type: Arc<str>,
    undo_type: Option<Arc<str>>,
    is_read_only: bool,
    /// True when patience ends the step: its commands say until when they are worth something.
    expires: bool,
    plan: Option<Compiled>,
    options: TargetOptions,
}

/// One of the kit's sagas.
#[derive(Clone, Debug)]
pub(super) struct KitSaga {
    pub(super) id: Uuid,
    pub(super) key: Arc<str>,
    pub(super) began_at: Timestamp,
}

impl Target {
    /// Puts together what the options and the definition say.
    ///
    /// # Errors
    /// Something is missing or contradicts itself (exit 2), the definition is invalid (exit 7) or has no such step (exit 3).
    pub(super) fn new(options: &TargetOptions) -> Result<Self, Failure> {
        let target = match (&options.definition, &options.step) {
            (Some(file), Some(step)) => Self::of_definition(Compiled::load(&Source::read(file)?)?, step, options)?,
            (Some(_), None) => return Err(usage("--definition without --step", "say which step: --step NAME")),
            (None, step) => Self::of_flags(step.as_deref().unwrap_or("step"), options)?,
        };
        // What cannot be rendered is said before anything is sent.
        let sample = KitSaga { id: Uuid::nil(), key: "kit".into(), began_at: Timestamp::ZERO };
        let mut letters = vec![Letter::from(Name::doing(0))];
        if target.lacks(Need::Undo).is_none() {
            letters.push(Name::undoing(0).into());
        }
        if target.lacks(Need::FailingData).is_none() {
            letters.push(Letter::from(Name::doing(0)).with(Data::Failing));
        }
        for letter in letters {
            target.data(&sample, letter, None).map_err(|message| {
                let hint = "--data gives the data of the do, --undo-data those of the undo, --trigger the data of the trigger that both are rendered from; \
                            {key} in them is the saga's business key";
                usage(format!("data of the {}: {message}", letter.name.action.name()), hint)
            })?;
        }
        Ok(target)
    }

    fn of_definition(plan: Compiled, step: &str, options: &TargetOptions) -> Result<Self, Failure> {
        let definition = plan.definition();
        let names = || definition.steps.iter().map(|step| &*step.name).collect::<Vec<_>>().join(", ");
        let missing = || {
            let message = format!("definition {} has no step {step}", definition.name);
            Failure::new(Exit::NotFound, message, format!("its steps are {}", names()))
        };
        let place = definition.place_of(step).ok_or_else(missing)?;
        let found = definition.step(place);
        if let Some(wait) = found.waits {
            let message = format!("step {step} has no participant: it waits for {}", wait.phrase());
            return Err(usage(message, "test a step that has a command"));
        }
        let or = |said: &Option<String>, otherwise: &Arc<str>| {
            said.as_deref().map_or_else(|| Arc::clone(otherwise), Arc::from)
        };
        let undo_type = match &found.undo {
            Undo::Command(kind) => Some(or(&options.undo_type, kind)),
            Undo::Nothing => options.undo_type.as_deref().map(Arc::from),
        };
        Ok(Self {
            command_topic: or(&options.command_topic, &found.command_topic),
            reply_topic: or(&options.reply_topic, &definition.reply_topic),
            step: Arc::clone(&found.name),
            place,
            definition_name: Arc::clone(&definition.name),
            definition_version: definition.version,
            definition_hash: definition.hash,
            command_type: or(&options.command_type, &found.command_type),
            undo_type,
            is_read_only: found.kind == StepKind::ReadOnly,
            expires: found.expires(),
            plan: Some(plan),
            options: options.clone(),
        })
    }

    fn of_flags(step: &str, options: &TargetOptions) -> Result<Self, Failure> {
        let needed = |said: &Option<String>, flag: &str| {
            let hint = "or take it from a definition: --definition FILE --step NAME";
            said.as_deref().map(Arc::<str>::from).ok_or_else(|| usage(format!("{flag} is missing"), hint))
        };
        Ok(Self {
            command_topic: needed(&options.command_topic, "--command-topic")?,
            reply_topic: needed(&options.reply_topic, "--reply-topic")?,
            step: step.into(),
            place: StepIx(0),
            definition_name: "sagabus-kit".into(),
            definition_version: 1,
            definition_hash: Sha256::of(b"sagabus-kit"),
            command_type: needed(&options.command_type, "--type")?,
            undo_type: options.undo_type.as_deref().map(Arc::from),
            is_read_only: false,
            expires: options.undo_type.is_some(),
            plan: None,
            options: options.clone(),
        })
    }

    /// Why a case that needs this cannot be run; `None` when it can. (Whether there is a way to restart is not the target's.)
    pub(super) fn lacks(&self, need: Need) -> Option<&'static str> {
        match need {
            Need::Effect if self.is_read_only => Some("a read-only step has no effect to guard"),
            Need::Undo if self.is_read_only => Some("a read-only step has nothing to undo"),
            Need::Undo if self.undo_type.is_none() => {
                Some("no type of an undo is known: --undo-type, or a step with compensate")
            }
            Need::FailingData if self.options.failing_data.is_none() => {
                Some("no data that the participant refuses are known: --failing-data")
            }
            Need::Effect | Need::Undo | Need::FailingData | Need::Restart => None,
        }
    }

    /// The saga of this business key.
    pub(super) fn saga(&self, key: String, now: Timestamp) -> KitSaga {
        KitSaga { id: saga_id(&self.definition_name, &key, now), key: key.into(), began_at: now }
    }

    /// A command's id.
    pub(super) fn command_id(&self, saga: &KitSaga, name: Name) -> Uuid {
        command_id(saga.id, self.place, name.action, name.attempt)
    }

    /// The command that a letter is. `reply`: the data of the success of the saga's `do`, which an undo may read.
    ///
    /// # Errors
    /// Its data cannot be made.
    pub(super) fn command(&self, saga: &KitSaga, letter: Letter, reply: Option<&Json>) -> Result<Command, String> {
        let kind = match (letter.name.action, &self.undo_type) {
            (Action::Undo, Some(kind)) => kind,
            (Action::Undo, None) | (Action::Do, _) => &self.command_type,
        };
        let expires_at = if letter.is_expired {
            let micros = i64::try_from(PATIENCE_MS * 1_000).expect("an hour is a small number");
            Some(Timestamp::from_micros(saga.began_at.micros() - micros))
        } else {
            self.expires.then(|| saga.began_at.plus_millis(PATIENCE_MS))
        };
        Ok(Command {
            saga_id: saga.id,
            business_key: Arc::clone(&saga.key),
            definition_name: Arc::clone(&self.definition_name),
            definition_version: self.definition_version,
            definition_hash: self.definition_hash,
            topic: Arc::clone(&self.command_topic),
            kind: Arc::clone(kind),
            reply_topic: Arc::clone(&self.reply_topic),
            step: self.place,
            step_name: Arc::clone(&self.step),
            action: letter.name.action,
            attempt: letter.name.attempt,
            id: self.command_id(saga, letter.name),
            decided_at: saga.began_at,
            expires_at: expires_at.filter(|_| letter.name.action == Action::Do),
            cause: Arc::clone(&saga.key),
            traceparent: None,
            tracestate: None,
            data: self.data(saga, letter, reply)?,
        })
    }

    fn data(&self, saga: &KitSaga, letter: Letter, reply: Option<&Json>) -> Result<Json, String> {
        let options = &self.options;
        let given = match (letter.name.action, letter.data) {
            (Action::Undo, _) => options.undo_data.as_ref().or(options.data.as_ref()),
            (Action::Do, Data::Failing) => options.failing_data.as_ref(),
            (Action::Do, Data::Good | Data::Changed) => options.data.as_ref(),
        };
        let data = match (given, &self.plan) {
            (Some(text), _) => Json::foreign(self.fill(text, saga).as_bytes())?,
            (None, Some(plan)) => self.rendered(plan, saga, letter.name.action, reply)?,
            (None, None) => Json::empty_object(),
        };
        Ok(if letter.data == Data::Changed { changed(&data) } else { data })
    }

    /// As Sagabus renders them, for a saga that was started by the sample trigger.
    fn rendered(&self, plan: &Compiled, saga: &KitSaga, action: Action, reply: Option<&Json>) -> Result<Json, String> {
        let text = self.fill(self.options.trigger.as_deref().unwrap_or("{}"), saga);
        let definition = plan.definition();
        let trigger = Trigger {
            topic: definition.trigger_topic.clone(),
            partition: 0,
            offset: 0,
            timestamp: saga.began_at,
            id: None,
            kind: definition.trigger_type.clone(),
            data: Json::foreign(text.as_bytes()).map_err(|error| format!("--trigger: {error}"))?,
            traceparent: None,
            tracestate: None,
        };
        let mut begun = start(plan.rules(), saga.id, Arc::clone(&saga.key), trigger, saga.began_at).saga;
        begun.step_mut(self.place).reply = reply.cloned();
        plan.data(&begun, self.place, action).map_err(|error| error.message)
    }

    /// Whether the reply to a `do` fits the schema that the definition names for it.
    ///
    /// # Errors
    /// What does not fit.
    pub(super) fn check_reply(&self, reply: &Json) -> Result<(), String> {
        self.plan.as_ref().map_or(Ok(()), |plan| plan.check_reply(self.place, reply))
    }

    /// Puts a saga's id, key and step into a text.
    pub(super) fn fill(&self, text: &str, saga: &KitSaga) -> String {
        let text = text.replace("{saga}", &saga.id.to_string());
        text.replace("{key}", &saga.key).replace("{step}", &self.step)
    }
}

/// Other data than `data`, which whoever reads these can read as well: an object with one member more.
fn changed(data: &Json) -> Json {
    const MEMBER: &str = r#""sagabusKit":"changed""#;
    let text = data.get().trim_end();
    let text = match text.strip_suffix('}').map(str::trim_end) {
        Some(body) if body.trim_start() == "{" => format!("{body}{MEMBER}}}"),
        Some(body) => format!("{body},{MEMBER}}}"),
        None => format!("{{{MEMBER}}}"),
    };
    Json::parse(text.as_bytes()).expect("an object with one member more is an object")
}

fn usage(message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> TargetOptions {
        let said = |text: &str| Some(text.to_owned());
        TargetOptions {
            command_topic: said("c"),
            reply_topic: said("r"),
            command_type: said("t"),
            ..TargetOptions::default()
        }
    }

    #[test]
    fn changed_data_differ_and_are_still_json() {
        for text in ["{}", "{ }", r#"{"a": {"b": 1}}"#, "[1]", "7", r#""}""#] {
            let data = Json::parse(text.as_bytes()).unwrap();
            assert_ne!(changed(&data), data, "{text}");
        }
        assert_eq!(changed(&Json::parse(br#"{"a":1}"#).unwrap()).get(), r#"{"a":1,"sagabusKit":"changed"}"#);
    }

    #[test]
    fn each_saga_has_its_own_data_and_ids() {
        let options = TargetOptions { data: Some(r#"{"order":"{key}","saga":"{saga}"}"#.to_owned()), ..flags() };
        let target = Target::new(&options).unwrap();
        let sagas = ["a", "b"].map(|key| target.saga(key.to_owned(), Timestamp::from_millis(7)));
        let commands = sagas.each_ref().map(|saga| target.command(saga, Name::doing(0).into(), None).unwrap());
        assert_eq!(commands[0].data.get(), format!(r#"{{"order":"a","saga":"{}"}}"#, sagas[0].id));
        assert_ne!((commands[0].id, &commands[0].data), (commands[1].id, &commands[1].data));
    }

    #[test]
    fn a_definition_gives_topics_types_and_data_and_an_undo_reads_the_reply_of_its_do() {
        let options = TargetOptions {
            definition: Some("sagas/trade-settlement.saga.yaml".into()),
            step: Some("order".to_owned()),
            trigger: Some(r#"{"orderId":"{key}","amount":10}"#.to_owned()),
            ..TargetOptions::default()
        };
        let target = Target::new(&options).unwrap();
        let saga = target.saga("k".to_owned(), Timestamp::ZERO);
        let doing = target.command(&saga, Name::doing(0).into(), None).unwrap();
        assert_eq!((&*doing.topic, &*doing.reply_topic), ("order.commands", "trade-settlement.replies"));
        assert_eq!((&*doing.kind, doing.data.get()), ("order.reserve", r#"{"orderId":"k","amount":10}"#));
        let reply = Json::parse(br#"{"reservationId":"r"}"#).unwrap();
        let undoing = |reply| target.command(&saga, Name::undoing(0).into(), reply).unwrap();
        assert_eq!(&*undoing(None).kind, "order.release");
        assert_eq!(undoing(None).data.get(), r#"{"orderId":"k","reservation":null}"#);
        assert_eq!(undoing(Some(&reply)).data.get(), r#"{"orderId":"k","reservation":"r"}"#);
    }

    #[test]
    fn what_cannot_be_sent_is_said_before_anything_is() {
        let exit = |options: &TargetOptions| Target::new(options).unwrap_err().exit;
        assert_eq!(exit(&TargetOptions::default()), Exit::Usage);
        assert_eq!(exit(&TargetOptions { data: Some("no json".to_owned()), ..flags() }), Exit::Usage);
        let trade = TargetOptions {
            definition: Some("sagas/trade-settlement.saga.yaml".into()),
            step: Some("order".to_owned()),
            ..TargetOptions::default()
        };
        assert_eq!(exit(&TargetOptions { step: None, ..trade.clone() }), Exit::Usage);
        assert_eq!(exit(&TargetOptions { step: Some("nobody".to_owned()), ..trade.clone() }), Exit::NotFound);
    }
}
