//! The rules of a saga: pure, total, without I/O, clock or chance.
//!
//! `decide` turns an input into facts, `evolve` folds a fact into the state, `effects` says what must be sent once the facts are
//! safe. The engine, the replay tool and every test call these three; nothing in here knows Kafka, SQL or YAML.

mod decide;
mod definition;
mod effects;
mod fact;
mod hash;
mod ids;
mod input;
mod json;
pub mod limits;
mod retry;
mod saga;
mod time;

pub use decide::Rules;
pub use definition::CompensationPolicy;
pub use definition::Definition;
pub use definition::OnExhausted;
pub use definition::Render;
pub use definition::RenderError;
pub use definition::Step;
pub use definition::StepIx;
pub use definition::StepKind;
pub use definition::Undo;
pub use effects::Announcement;
pub use effects::Command;
pub use effects::Differs;
pub use effects::Effect;
pub use effects::effects;
pub use fact::Answer;
pub use fact::Cause;
pub use fact::Fact;
pub use fact::Outcome;
pub use fact::Transition;
pub use hash::Sha256;
pub use ids::announcement_id;
pub use ids::command_id;
pub use ids::saga_id;
pub use input::Input;
pub use input::Operation;
pub use input::Reply;
pub use input::Resolution;
pub use input::Trigger;
pub use input::Verb;
pub use input::Verdict;
pub use json::Json;
pub use retry::Jitter;
pub use retry::RetryPolicy;
pub use saga::Action;
pub use saga::Backward;
pub use saga::Block;
pub use saga::BlockKind;
pub use saga::Flight;
pub use saga::Forward;
pub use saga::Given;
pub use saga::Phase;
pub use saga::Saga;
pub use saga::SagaError;
pub use saga::StepState;
pub use time::Timestamp;
