//! The bus on real Kafka, by librdkafka.

mod admin;
mod bus;
mod checks;
mod greet;
mod group;
mod groups;
mod log_reader;
mod lookup;
mod lost;
mod probe;
mod producer;
mod reader;
mod settings;

pub use admin::Admin;
pub use admin::Logs;
pub use admin::Purpose;
pub use admin::TopicDifference;
pub use admin::TopicNeed;
pub use bus::KafkaBus;
pub use checks::Finding;
pub use checks::Level;
pub use checks::judge_topics;
pub use greet::GreetError;
pub use group::Group;
pub use groups::GroupProgress;
pub use groups::group_progress;
pub use log_reader::LogPlace;
pub use log_reader::LogReader;
pub use probe::Probe;
pub use probe::RawRecord;
pub use producer::Producer;
pub use settings::KafkaSettings;
