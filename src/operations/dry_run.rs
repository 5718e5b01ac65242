//! What an operator's action would do, decided on the saga as it stands: nothing is written and nothing is sent.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::core::{
    Command, Definition, Effect, Input, Operation, Phase, Rules, Saga, Timestamp, decide, effects, issue_all,
};

use super::failure::{Exit, Failure};
use super::history::named_fact;
use super::words::{Word, word, words};

/// What would follow, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// The saga.
    pub saga_id: Uuid,
    /// What would be asked.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub verb: Word,
    /// The journal row that the saga stands at.
    pub seq: u32,
    /// Where it stands.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub phase: Word,
    /// Where it would stand.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub phase_after: Word,
    /// What would be written, with the names of steps.
    pub facts: Vec<Value>,
    /// What would be sent.
    pub commands: Vec<CommandJson>,
    /// Phases that would be announced.
    #[serde(deserialize_with = "words")]
    #[schema(value_type = Vec<String>)]
    pub announces: Vec<Word>,
    /// Why it would be refused, if so.
    pub refusal: Option<RefusalJson>,
}

/// A command that would be sent, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandJson {
    /// `ce_id`.
    pub id: Uuid,
    /// Where to.
    pub topic: String,
    /// `ce_type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The step's name.
    pub step: String,
    /// `do` or `undo`.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub action: Word,
    /// From 1.
    pub attempt: u16,
    /// The record's value, byte for byte.
    #[schema(value_type = Value)]
    pub data: Box<RawValue>,
}

/// Why an action is refused, as programs read it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusalJson {
    /// `refused` or `changed`.
    #[serde(deserialize_with = "word")]
    #[schema(value_type = String)]
    pub code: Word,
    /// For people.
    pub message: String,
    /// The verbs that would be carried out.
    #[serde(deserialize_with = "words")]
    #[schema(value_type = Vec<String>)]
    pub can: Vec<Word>,
}

impl DryRun {
    /// The refusal as a failure of the command (exit 4).
    ///
    /// # Errors
    /// The action would be refused.
    pub fn check(&self) -> Result<(), Failure> {
        let Some(refusal) = &self.refusal else { return Ok(()) };
        Err(Failure::new(Exit::Refused, format!("{} refused: {}", self.verb, refusal.message), ""))
    }
}

/// Decides `operation` as an engine would that has nothing else in hand.
pub fn dry_run(rules: Rules<'_>, saga: &Saga, operation: &Operation, now: Timestamp) -> DryRun {
    let decision = issue_all(rules, decide(rules, saga, &Input::Operation(operation.clone()), now));
    let (mut commands, mut announces) = (Vec::new(), Vec::new());
    for effect in effects(rules, &decision.saga, decision.saga.seq, now, &decision.facts, &decision.rendered)
        .into_iter()
        .flatten()
    {
        match effect {
            Effect::Command(command) => commands.push(command_json(*command)),
            Effect::Announcement(announcement) => announces.push(announcement.phase.name()),
        }
    }
    let refusal =
        decision.refusal.map(|refusal| RefusalJson { code: refusal.code, message: refusal.message, can: refusal.can });
    DryRun {
        saga_id: saga.id,
        verb: operation.verb.name(),
        seq: saga.seq,
        phase: Phase::name(saga.phase),
        phase_after: decision.saga.phase.name(),
        facts: decision.facts.iter().map(|fact| named_fact(rules.definition, fact)).collect(),
        commands,
        announces,
        refusal,
    }
}

fn command_json(command: Command) -> CommandJson {
    CommandJson {
        id: command.id,
        topic: command.topic.to_string(),
        kind: command.kind.to_string(),
        step: command.step_name.to_string(),
        action: command.action.name(),
        attempt: command.attempt,
        data: RawValue::from_string(command.data.get().to_owned()).expect("data are JSON"),
    }
}

/// Checks that the definition has a step of this name.
///
/// # Errors
/// It has not (exit 2): with its steps, and the one that was probably meant.
pub fn check_step(definition: &Definition, name: &str) -> Result<(), Failure> {
    let names: Vec<&str> = definition.steps.iter().map(|step| &*step.name).collect();
    if names.contains(&name) {
        return Ok(());
    }
    let meant = crate::definition::did_you_mean(name, &names);
    let hint = meant.map_or_else(String::new, |meant| format!("did you mean {meant}?"));
    let message = format!("there is no step {name}; the steps of {} are {}", definition.name, names.join(", "));
    Err(Failure::new(Exit::Usage, message, hint))
}
