//! Topics that definitions need: what is missing or different, and making what is missing. Nothing is ever made silently.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig as _;
use rdkafka::error::RDKafkaErrorCode;
use tokio::time::Instant;

use super::super::BusError;
use super::greet::{GreetError, greet};
use super::settings::KafkaSettings;

const ASK_AT_MOST: Duration = Duration::from_secs(10);
/// How soon a new topic is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// It starts sagas; it belongs to the service that writes it.
    Trigger,
    /// Commands to a participant.
    Command,
    /// Answers of participants.
    Reply,
    /// Ends of sagas. Where steps wait, their notices go there too, and count as commands.
    Outcome,
}

/// A topic that a definition names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicNeed {
    /// Its name.
    pub name: String,
    /// What for.
    pub purpose: Purpose,
}

/// A topic as the cluster has it, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDifference {
    /// The topic.
    pub need: TopicNeed,
    /// What is different from what is needed, for people; empty when all is well.
    pub differences: Vec<String>,
    /// True when there is no such topic.
    pub is_missing: bool,
    /// Its partitions; 0 when it is missing.
    pub partitions: usize,
    /// Its replication factor; 0 when it is missing.
    pub replication: usize,
    /// Its settings, as far as they were asked.
    pub settings: BTreeMap<String, String>,
}

/// By topic: the number of each partition, its first offset, its last stable one.
pub type Logs = BTreeMap<String, Vec<(i32, i64, i64)>>;

/// Asks about topics and makes them.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    settings: KafkaSettings,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("bootstrap", &self.settings.bootstrap).finish_non_exhaustive()
    }
}

impl Admin {
    /// A client for questions about the cluster.
    ///
    /// # Errors
    /// The client refuses its configuration.
    pub fn connect(settings: &KafkaSettings) -> Result<Self, BusError> {
        let client = AdminClient::from_config(&settings.admin())
            .map_err(|error| BusError { attempted: "make a Kafka client".to_owned(), message: error.to_string() })?;
        Ok(Self { client, settings: settings.clone() })
    }

    fn failed(&self, what: &str, error: impl std::fmt::Display) -> BusError {
        BusError { attempted: format!("{what} at {}", self.settings.bootstrap), message: error.to_string() }
    }

    /// How many brokers the cluster has.
    ///
    /// # Errors
    /// It does not answer, or refuses us.
    pub fn brokers(&self) -> Result<usize, GreetError> {
        greet(&self.settings)
    }

    /// First and last offset of each partition of a topic.
    ///
    /// # Errors
    /// The cluster does not answer, or there is no such topic.
    pub fn watermarks(&self, topic: &str) -> Result<Vec<(i32, i64, i64)>, BusError> {
        let attempt = format!("ask for the ends of topic {topic}");
        let client = self.client.inner();
        let metadata = client.fetch_metadata(Some(topic), ASK_AT_MOST).map_err(|error| self.failed(&attempt, error))?;
        let partitions = metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
        let ask = |partition: &rdkafka::metadata::MetadataPartition| {
            let (low, high) = client.fetch_watermarks(topic, partition.id(), ASK_AT_MOST)?;
            Ok::<_, rdkafka::error::KafkaError>((partition.id(), low, high))
        };
        partitions.map(ask).collect::<Result<_, _>>().map_err(|error| self.failed(&attempt, error))
    }

    /// What the logs of these topics hold. A topic that the broker does not tell of is left out.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn logs(&self, topics: &BTreeSet<String>) -> Result<Logs, BusError> {
        let there = self.topics()?;
        let known = topics.iter().filter(|topic| there.contains_key(*topic));
        known.map(|topic| Ok((topic.clone(), self.watermarks(topic)?))).collect()
    }

    /// Compares what is needed with what is there.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn diff(&self, needs: &[TopicNeed]) -> Result<Vec<TopicDifference>, BusError> {
        let there = self.topics()?;
        let mut found = Vec::new();
        for need in needs {
            let (partitions, replication) = there.get(&need.name).copied().unwrap_or((0, 0));
            let is_missing = !there.contains_key(&need.name);
            let settings = if is_missing { BTreeMap::new() } else { self.settings_of(&need.name).await? };
            let mut differences = Vec::new();
            if is_missing {
                differences.push("missing".to_owned());
            } else if settings.get("cleanup.policy").is_some_and(|policy| policy != "delete") {
                differences.push(format!(
                    "cleanup.policy is {}, must be delete: compaction loses records",
                    settings["cleanup.policy"]
                ));
            }
            found.push(TopicDifference {
                need: need.clone(),
                differences,
                is_missing,
                partitions,
                replication,
                settings,
            });
        }
        Ok(found)
    }

    async fn settings_of(&self, topic: &str) -> Result<BTreeMap<String, String>, BusError> {
        let options = AdminOptions::new().request_timeout(Some(ASK_AT_MOST));
        let asked = [ResourceSpecifier::Topic(topic)];
        let answers = self.client.describe_configs(&asked, &options).await;
        let answers = answers.map_err(|error| self.failed(&format!("ask for the settings of topic {topic}"), error))?;
        let entries = answers.into_iter().flatten().flat_map(|resource| resource.entries);
        Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Makes topics that are missing. Returns those that it made.
    ///
    /// # Errors
    /// The cluster refuses, or does not answer.
    pub async fn ensure(
        &self,
        needs: &[TopicNeed],
        partitions: i32,
        replication: i32,
    ) -> Result<Vec<String>, BusError> {
        let missing: Vec<_> = self.diff(needs).await?.into_iter().filter(|found| found.is_missing).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .map(|found| {
                NewTopic::new(&found.need.name, partitions, TopicReplication::Fixed(replication))
                    .set("cleanup.policy", "delete")
                    // The longest outage that is promised to be survived (RELIABILITY.md section 2.4).
                    .set("retention.ms", "604800000")
            })
            .collect();
        let options = AdminOptions::new().request_timeout(Some(ASK_AT_MOST)).operation_timeout(Some(ASK_AT_MOST));
        let made = self.client.create_topics(&new, &options).await;
        let mut names = Vec::new();
        for result in made.map_err(|error| self.failed("make topics", error))? {
            match result {
                Ok(name) => names.push(name),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(self.failed(&format!("make topic {name}"), code)),
            }
        }
        self.until_seen(needs).await?;
        Ok(names)
    }

    /// The topics that the broker tells of, with their partitions and the least replicas of one.
    fn topics(&self) -> Result<BTreeMap<String, (usize, usize)>, BusError> {
        let metadata = self.client.inner().fetch_metadata(None, ASK_AT_MOST);
        let metadata = metadata.map_err(|error| self.failed("ask for topics", error))?;
        let told = metadata.topics().iter().filter(|topic| topic.error().is_none());
        let counts = told.map(|topic| {
            let replicas = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
            (topic.name().to_owned(), (topic.partitions().len(), replicas.unwrap_or(0)))
        });
        Ok(counts.collect())
    }

    /// A topic is made when the controller knows it, and of use when the broker tells of it: a moment later, or more under load.
    async fn until_seen(&self, needs: &[TopicNeed]) -> Result<(), BusError> {
        let until = Instant::now() + ASK_AT_MOST;
        loop {
            let there = self.topics()?;
            let Some(unseen) = needs.iter().find(|need| !there.contains_key(&need.name)) else { return Ok(()) };
            if Instant::now() >= until {
                return Err(self.failed(&format!("make topic {}", unseen.name), "the broker does not tell of it yet"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
