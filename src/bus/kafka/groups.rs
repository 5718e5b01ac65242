//! How far other people's consumer groups are. Reads only: nobody joins a group, nothing is committed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::config::FromClientConfig as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::super::BusError;
use super::settings::KafkaSettings;

/// How long the broker may take to answer a question.
const ASK_AT_MOST: Duration = Duration::from_secs(10);
/// Groups that are asked for at once: a group's offsets are told to a client that bears its name, so each takes one of its own.
const ASKING: usize = 8;

/// A consumer group, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupProgress {
    /// Its name.
    pub name: String,
    /// As the broker calls it: `Stable`, `Empty`, `PreparingRebalance` ...
    pub state: String,
    /// Its members now.
    pub members: usize,
    /// The next offset of each partition that was asked for and that it has committed.
    pub committed: BTreeMap<(String, i32), i64>,
}

/// Every consumer group that has committed something of these partitions, by name; and the groups that could not be asked, and why.
/// Blocking: it belongs on a thread of its own.
///
/// # Errors
/// The broker does not answer, or tells nobody of its groups.
pub fn group_progress(
    settings: &KafkaSettings,
    partitions: &[(String, i32)],
) -> Result<(Vec<GroupProgress>, Vec<BusError>), BusError> {
    if partitions.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let failed = |error: KafkaError| BusError {
        attempted: format!("ask for consumer groups at {}", settings.bootstrap),
        message: error.to_string(),
    };
    let client: BaseConsumer = BaseConsumer::from_config(&settings.lookup()).map_err(failed)?;
    let listed = client.fetch_group_list(None, ASK_AT_MOST).map_err(failed)?;
    // Groups of other protocols (connectors, registries) read nothing; one without members may have none.
    let reads = |kind: &str| kind.is_empty() || kind == "consumer";
    let groups: Vec<GroupProgress> = listed
        .groups()
        .iter()
        .filter(|group| reads(group.protocol_type()))
        .map(|group| GroupProgress {
            name: group.name().to_owned(),
            state: group.state().to_owned(),
            members: group.members().len(),
            committed: BTreeMap::new(),
        })
        .collect();
    let (mut found, mut silent) = (Vec::new(), Vec::new());
    for (group, committed) in ask_each(settings, &groups, partitions) {
        match committed {
            Ok(committed) if committed.is_empty() => {}
            Ok(committed) => found.push(GroupProgress { committed, ..group }),
            Err(error) => silent.push(BusError {
                attempted: format!("ask where consumer group {} stands", group.name),
                message: error.to_string(),
            }),
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((found, silent))
}

type Committed = Result<BTreeMap<(String, i32), i64>, KafkaError>;

fn ask_each(
    settings: &KafkaSettings,
    groups: &[GroupProgress],
    partitions: &[(String, i32)],
) -> Vec<(GroupProgress, Committed)> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut told = Vec::new();
        while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            told.push((group.clone(), committed(settings, &group.name, partitions)));
        }
        told
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..ASKING.min(groups.len())).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("asking does not panic")).collect()
    })
}

fn committed(settings: &KafkaSettings, group: &str, partitions: &[(String, i32)]) -> Committed {
    let mut config = settings.lookup();
    config.set("group.id", group);
    let client: BaseConsumer = BaseConsumer::from_config(&config)?;
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for (topic, number) in partitions {
        asked.add_partition(topic, *number);
    }
    let told = client.committed_offsets(asked, ASK_AT_MOST)?;
    let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some(((element.topic().to_owned(), element.partition()), offset)),
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    };
    Ok(told.elements().iter().filter_map(offset).collect())
}
