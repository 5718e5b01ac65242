//! The Kafka part of the start-up check (RELIABILITY.md section 2.4): closed by default.

use super::admin::{Purpose, TopicDifference};

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Fine,
    /// Said, and no more.
    Warn,
    /// The start is refused, unless with `--dev`.
    Refuse,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub level: Level,
    /// What was checked.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What to do, for people; empty when all is well.
    pub hint: String,
}

/// Retention below this loses what an outage of a week would still need, in milliseconds.
const RETENTION_MS: i64 = 604_800_000;

/// Judges topics of a cluster with this many brokers.
pub fn judge_topics(topics: &[TopicDifference], brokers: usize) -> Vec<Finding> {
    topics.iter().flat_map(|topic| judge_topic(topic, brokers)).collect()
}

fn judge_topic(topic: &TopicDifference, brokers: usize) -> Vec<Finding> {
    let subject = format!("topic {}", topic.need.name);
    let finding = |level: Level, found: String, hint: &str| Finding {
        level,
        subject: subject.clone(),
        found,
        hint: hint.to_owned(),
    };
    if topic.is_missing {
        let level = if topic.need.purpose == Purpose::Outcome { Level::Warn } else { Level::Refuse };
        return vec![finding(
            level,
            "missing".to_owned(),
            "sagabus topics ensure --definitions DIR makes what is missing",
        )];
    }
    let setting = |name: &str| topic.settings.get(name).map(String::as_str);
    let mut found = Vec::new();
    if let Some(policy) = setting("cleanup.policy").filter(|policy| *policy != "delete") {
        found.push(finding(
            Level::Refuse,
            format!("cleanup.policy={policy}"),
            "compaction loses records: set cleanup.policy=delete",
        ));
    }
    let enough_brokers = brokers >= 3;
    let level = if enough_brokers { Level::Refuse } else { Level::Warn };
    if topic.replication < 3 {
        found.push(finding(
            level,
            format!("replication factor {}", topic.replication),
            "3 keeps records when a broker is lost",
        ));
    }
    if let Some(replicas) =
        setting("min.insync.replicas").and_then(|text| text.parse::<u32>().ok()).filter(|count| *count < 2)
    {
        found.push(finding(
            level,
            format!("min.insync.replicas={replicas}"),
            "2 keeps acknowledged records when a broker is lost",
        ));
    }
    if setting("unclean.leader.election.enable") == Some("true") {
        found.push(finding(
            Level::Refuse,
            "unclean.leader.election.enable=true".to_owned(),
            "it loses acknowledged records: set it to false",
        ));
    }
    let retention = setting("retention.ms").and_then(|text| text.parse::<i64>().ok());
    if let Some(millis) = retention.filter(|millis| (0..RETENTION_MS).contains(millis)) {
        found.push(finding(
            Level::Refuse,
            format!("retention.ms={millis}"),
            "7 days (604800000) survive an outage of a week",
        ));
    }
    if found.is_empty() {
        found.push(finding(
            Level::Fine,
            format!("{} partitions, {} replicas", topic.partitions, topic.replication),
            "",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::admin::TopicNeed;
    use super::*;

    fn topic(replication: usize, settings: &[(&str, &str)]) -> TopicDifference {
        TopicDifference {
            need: TopicNeed { name: "t".to_owned(), purpose: Purpose::Reply },
            differences: Vec::new(),
            is_missing: false,
            partitions: 3,
            replication,
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn a_compacted_topic_is_refused() {
        let findings = judge_topics(&[topic(3, &[("cleanup.policy", "compact")])], 3);
        assert_eq!(findings[0].level, Level::Refuse);
    }

    #[test]
    fn one_replica_is_a_warning_where_there_is_one_broker_and_refused_where_there_are_three() {
        assert_eq!(judge_topics(&[topic(1, &[])], 1)[0].level, Level::Warn);
        assert_eq!(judge_topics(&[topic(1, &[])], 3)[0].level, Level::Refuse);
    }

    #[test]
    fn a_topic_as_it_should_be_is_fine() {
        let settings = [("cleanup.policy", "delete"), ("retention.ms", "604800000"), ("min.insync.replicas", "2")];
        assert_eq!(judge_topics(&[topic(3, &settings)], 3)[0].level, Level::Fine);
    }
}
