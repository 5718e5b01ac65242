//! The broker inside librdkafka.

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// Partitions of every topic.
const PARTITIONS: i32 = 4;

/// A broker that lives in this process, and ends with this value.
pub(super) struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts it with these topics.
    pub(super) fn start(topics: &[String]) -> Result<Self, KafkaError> {
        let mock = MockCluster::new(1)?;
        for topic in topics {
            mock.create_topic(topic, PARTITIONS, 1)?;
        }
        Ok(Self { mock })
    }

    /// Where it answers.
    pub(super) fn servers(&self) -> String {
        self.mock.bootstrap_servers()
    }
}
