//! Kafka records to inputs, commands to Kafka records: pure. The message contract is CloudEvents 1.0 (CONTRACT.md).

mod command;
mod dead_letter;
mod event;
mod headers;
mod outgoing;
mod record;
mod reply;
mod trigger;

pub use command::Received;
pub use command::is_announcement;
pub use command::received;
pub use dead_letter::DeadLetter;
pub use dead_letter::dead_letter;
pub use dead_letter::is_of_dead_letters;
pub use event::Attribute;
pub use event::Event;
pub use event::Malformed;
pub use headers::Headers;
pub use outgoing::Outgoing;
pub use outgoing::announcement;
pub use outgoing::answer;
pub use outgoing::command;
pub use outgoing::new_trigger;
pub use record::KeptHeader;
pub use record::KeptValue;
pub use record::Record;
pub use record::RecordHead;
pub use reply::is_reply;
pub use reply::reply;
pub use trigger::trigger;
