//! Who is behind: engines with triggers and replies, by Postgres's offsets, and participants with their commands, by what their consumer
//! groups have committed; both held against Kafka's logs. Reads only, on either side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::bus::{Admin, GroupProgress, KafkaSettings, Logs, group_progress};
use crate::core::Definition;
use crate::store::{Balance, Console};

use super::blocking::on_a_thread;
use super::failure::Failure;
use super::opened::Plans;
use super::places::Places;

/// A partition that engines read, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InputLag {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// `triggers`, `replies` or both.
    pub carries: Vec<&'static str>,
    /// `reading`; `stopped`: until a person seeks; `unread`: nobody has begun; `outside`: the log does not hold its offset; `missing`:
    /// there is no such partition.
    pub state: &'static str,
    /// The next offset to judge, by Postgres; `None` where nobody has begun.
    pub next: Option<i64>,
    /// The log's first offset; `None` where it is missing.
    pub low: Option<i64>,
    /// The log's end; see `low`.
    pub end: Option<i64>,
    /// Offsets that wait to be judged; `None` where it is missing.
    pub behind: Option<i64>,
    /// Why it is stopped, if so.
    pub stopped_because: Option<String>,
}

/// A consumer group that reads commands, as programs read it; or a command topic that nobody reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandLag {
    /// The command topic.
    pub topic: String,
    /// The participants whose it is.
    pub participants: Vec<String>,
    /// The group; `None` where none has committed anything of the topic.
    pub group: Option<String>,
    /// As the broker calls it: `Stable`, `Empty` ...
    pub state: Option<String>,
    /// Its members now.
    pub members: usize,
    /// Offsets that it has not committed, of all partitions.
    pub behind: i64,
    /// By partition.
    pub partitions: Vec<CommandPartition>,
}

/// A partition of a command topic as a group stands in it, as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandPartition {
    /// Its number.
    pub partition: i32,
    /// The next offset of the group; `None` where it has committed nothing.
    pub committed: Option<i64>,
    /// The log's first offset.
    pub low: i64,
    /// The log's end.
    pub end: i64,
    /// Offsets that the group has not committed: all that the log holds where it has committed nothing.
    pub behind: i64,
}

/// Who is behind, as programs read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LagReport {
    /// What engines read.
    pub inputs: Vec<InputLag>,
    /// What participants read; `None` where the broker does not tell of its groups.
    pub commands: Option<Vec<CommandLag>>,
    /// What could not be looked at, for people.
    pub notes: Vec<String>,
}

impl LagReport {
    /// Without those that are not behind and read as they should.
    #[must_use]
    pub fn only_behind(mut self) -> Self {
        let is_well = |input: &InputLag| input.behind == Some(0) && ["reading", "unread"].contains(&input.state);
        self.inputs.retain(|input| !is_well(input));
        self.commands.iter_mut().for_each(|groups| groups.retain(|group| group.behind > 0));
        self
    }
}

/// The topics of the definitions in force: what engines read of them, and whose commands they carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Topics {
    inputs: BTreeMap<String, BTreeSet<&'static str>>,
    commands: BTreeMap<String, BTreeSet<String>>,
}

impl Topics {
    fn add(&mut self, definition: &Definition) {
        let own = [(&definition.trigger_topic, "triggers"), (&definition.reply_topic, "replies")];
        for (topic, carries) in own {
            self.inputs.entry(topic.to_string()).or_default().insert(carries);
        }
        for step in definition.commanding() {
            let participants = self.commands.entry(step.command_topic.to_string()).or_default();
            participants.insert(step.participant.to_string());
        }
    }
}

/// Looks who is behind, again and again: what it asks with is kept.
#[derive(Debug)]
pub struct Lookout {
    console: Console,
    settings: KafkaSettings,
    admin: Arc<Admin>,
    plans: Plans,
}

impl Lookout {
    /// With Kafka as it is configured.
    ///
    /// # Errors
    /// It is not configured (exit 2).
    pub fn new(places: &Places, console: &Console) -> Result<Self, Failure> {
        let settings = places.kafka(None)?;
        let admin = Arc::new(Admin::connect(&settings)?);
        Ok(Self { console: console.clone(), settings, admin, plans: Plans::default() })
    }

    /// Engines and participants.
    ///
    /// # Errors
    /// Kafka or the database does not answer.
    pub async fn everybody(&mut self) -> Result<LagReport, Failure> {
        let (topics, mut notes) = self.topics().await?;
        let known = self.console.balance().await?;
        let logs = self.logs(topics.inputs.keys().chain(topics.commands.keys()).cloned().collect()).await?;
        let of_commands = logs.iter().filter(|(topic, _)| topics.commands.contains_key(*topic));
        let asked = of_commands.flat_map(|(topic, marks)| marks.iter().map(|(number, ..)| (topic.clone(), *number)));
        let (asked, settings) = (asked.collect::<Vec<_>>(), self.settings.clone());
        let groups = match on_a_thread(move || Ok(group_progress(&settings, &asked))).await? {
            Ok((groups, silent)) => {
                notes.extend(silent.into_iter().map(|error| error.to_string()));
                Some(groups)
            }
            Err(error) => {
                notes.push(format!("nothing is known of participants: {error}"));
                None
            }
        };
        let commands = groups.map(|groups| command_lags(&topics, &groups, &logs));
        let named = topics.inputs.keys().chain(topics.commands.keys());
        let missing = named.filter(|topic| !logs.contains_key(*topic));
        notes.extend(missing.map(|topic| format!("there is no topic {topic}: sagabus topics ensure makes it")));
        Ok(LagReport { inputs: input_lags(&topics, &known, &logs), commands, notes })
    }

    /// Engines alone: that costs the broker a question a partition.
    ///
    /// # Errors
    /// Kafka or the database does not answer.
    pub async fn engines(&mut self) -> Result<Vec<InputLag>, Failure> {
        let (topics, _) = self.topics().await?;
        let known = self.console.balance().await?;
        let logs = self.logs(topics.inputs.keys().cloned().collect()).await?;
        Ok(input_lags(&topics, &known, &logs))
    }

    /// The topics of every definition that starts sagas or has open ones, and what to say of those that cannot be read.
    async fn topics(&mut self) -> Result<(Topics, Vec<String>), Failure> {
        let catalogue = self.console.catalogue().await?;
        let (mut topics, mut notes) = (Topics::default(), Vec::new());
        for row in catalogue.active.into_iter().chain(catalogue.pinned) {
            match self.plans.get(&self.console, row.hash).await? {
                Ok(plan) => topics.add(plan.definition()),
                Err(why) => notes.push(format!("definition {} cannot be read: {why}", row.name)),
            }
        }
        Ok((topics, notes))
    }

    /// The ends are asked after the offsets: an engine is never ahead of its log by that.
    async fn logs(&self, topics: BTreeSet<String>) -> Result<Logs, Failure> {
        let admin = Arc::clone(&self.admin);
        on_a_thread(move || Ok(admin.logs(&topics)?)).await
    }
}

/// Every partition that is known or there, by topic and number.
fn input_lags(topics: &Topics, known: &[Balance], logs: &Logs) -> Vec<InputLag> {
    let mut lags = Vec::new();
    for (topic, carries) in &topics.inputs {
        let of_topic = known.iter().filter(|balance| balance.partition.0 == *topic);
        let stands: BTreeMap<i32, &Balance> = of_topic.map(|balance| (balance.partition.1, balance)).collect();
        let marks: BTreeMap<i32, (i64, i64)> =
            logs.get(topic).into_iter().flatten().map(|(number, low, end)| (*number, (*low, *end))).collect();
        let numbers: BTreeSet<i32> = stands.keys().chain(marks.keys()).copied().collect();
        let lag = |number: i32| {
            let (stand, mark) = (stands.get(&number).copied(), marks.get(&number).copied());
            let next = stand.map(|balance| balance.next_offset);
            InputLag {
                topic: topic.clone(),
                partition: number,
                carries: carries.iter().copied().collect(),
                state: state(stand, mark),
                next,
                low: mark.map(|(low, _)| low),
                end: mark.map(|(_, end)| end),
                behind: mark.map(|(low, end)| end.saturating_sub(next.unwrap_or(low)).max(0)),
                stopped_because: stand.and_then(|balance| balance.stopped_because.clone()),
            }
        };
        lags.extend(numbers.into_iter().map(lag));
    }
    lags
}

fn state(stand: Option<&Balance>, mark: Option<(i64, i64)>) -> &'static str {
    match (stand, mark) {
        (Some(balance), _) if balance.stopped_because.is_some() => "stopped",
        (_, None) => "missing",
        (None, Some(_)) => "unread",
        (Some(balance), Some((low, end))) if !(low..=end).contains(&balance.next_offset) => "outside",
        (Some(_), Some(_)) => "reading",
    }
}

/// Every group that has committed something of a command topic, and the topics of which nobody has.
fn command_lags(topics: &Topics, groups: &[GroupProgress], logs: &Logs) -> Vec<CommandLag> {
    let mut lags = Vec::new();
    for (topic, participants) in &topics.commands {
        let Some(marks) = logs.get(topic) else { continue };
        let reads = |group: &&GroupProgress| group.committed.keys().any(|(committed, _)| committed == topic);
        let readers: Vec<Option<&GroupProgress>> = groups.iter().filter(reads).map(Some).collect();
        let readers = if readers.is_empty() { vec![None] } else { readers };
        for group in readers {
            let partition = |(number, low, end): &(i32, i64, i64)| {
                let committed = group.and_then(|group| group.committed.get(&(topic.clone(), *number)).copied());
                let behind = end.saturating_sub(committed.unwrap_or(*low).max(*low)).max(0);
                CommandPartition { partition: *number, committed, low: *low, end: *end, behind }
            };
            let partitions: Vec<CommandPartition> = marks.iter().map(partition).collect();
            lags.push(CommandLag {
                topic: topic.clone(),
                participants: participants.iter().cloned().collect(),
                group: group.map(|group| group.name.clone()),
                state: group.map(|group| group.state.clone()),
                members: group.map_or(0, |group| group.members),
                behind: partitions.iter().map(|partition| partition.behind).sum(),
                partitions,
            });
        }
    }
    lags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        let inputs = [("orders", BTreeSet::from(["triggers"])), ("replies", BTreeSet::from(["replies"]))];
        let commands = [("risk.commands", BTreeSet::from(["risk".to_owned()]))];
        Topics {
            inputs: inputs.map(|(topic, carries)| (topic.to_owned(), carries)).into(),
            commands: commands.map(|(topic, of)| (topic.to_owned(), of)).into(),
        }
    }

    fn at(topic: &str, number: i32, next_offset: i64, stopped: Option<&str>) -> Balance {
        let (partition, stopped_because) = ((topic.to_owned(), number), stopped.map(str::to_owned));
        Balance { partition, first_offset: 0, next_offset, gaps: 0, counts: [0; 7], stopped_because }
    }

    type Marks<'a> = (&'a str, &'a [(i32, i64, i64)]);

    fn logs<const N: usize>(of: [Marks<'_>; N]) -> Logs {
        of.map(|(topic, marks)| (topic.to_owned(), marks.to_vec())).into()
    }

    #[test]
    fn each_partition_is_told_with_its_state_and_how_far_it_is_behind() {
        let known = [
            at("orders", 0, 7, None),
            at("orders", 1, 7, Some("outside the log")),
            at("orders", 3, 2, None),
            at("orders", 4, 5, None),
            at("elsewhere", 0, 0, None),
        ];
        let logs = logs([("orders", &[(0, 0, 10), (1, 9, 12), (2, 4, 6), (3, 3, 9)]), ("replies", &[(0, 0, 0)])]);
        let told = input_lags(&topics(), &known, &logs);
        let told: Vec<_> = told.iter().map(|lag| (&*lag.topic, lag.partition, lag.state, lag.behind)).collect();
        assert_eq!(
            told,
            [
                ("orders", 0, "reading", Some(3)),
                ("orders", 1, "stopped", Some(5)),
                ("orders", 2, "unread", Some(2)),
                ("orders", 3, "outside", Some(7)),
                ("orders", 4, "missing", None),
                ("replies", 0, "unread", Some(0)),
            ]
        );
    }

    #[test]
    fn what_is_not_behind_is_left_out_and_what_is_stopped_never() {
        let known = [at("orders", 0, 10, None), at("orders", 1, 12, Some("two consumers")), at("replies", 0, 0, None)];
        let logs = logs([("orders", &[(0, 0, 10), (1, 0, 12)]), ("replies", &[(0, 0, 0)])]);
        let inputs = input_lags(&topics(), &known, &logs);
        let report = LagReport { inputs, ..LagReport::default() }.only_behind();
        let left: Vec<_> = report.inputs.iter().map(|lag| (lag.partition, lag.state)).collect();
        assert_eq!(left, [(1, "stopped")]);
    }

    #[test]
    fn a_group_is_behind_by_what_it_has_not_committed_and_a_topic_without_one_by_all_it_holds() {
        let logs = logs([("risk.commands", &[(0, 0, 10), (1, 5, 9), (2, 0, 3)])]);
        let committed = [(0, 4), (1, 2)].map(|(number, at)| (("risk.commands".to_owned(), number), at));
        let group = GroupProgress {
            name: "risk-svc".to_owned(),
            state: "Empty".to_owned(),
            members: 0,
            committed: committed.into(),
        };
        let elsewhere = GroupProgress { committed: [(("x".to_owned(), 0), 1)].into(), ..group.clone() };
        let told = command_lags(&topics(), &[elsewhere, group], &logs);
        assert_eq!((told.len(), told[0].group.as_deref(), told[0].behind), (1, Some("risk-svc"), 6 + 4 + 3));
        let behind: Vec<_> = told[0].partitions.iter().map(|one| (one.committed, one.behind)).collect();
        assert_eq!(behind, [(Some(4), 6), (Some(2), 4), (None, 3)]);
        let nobody = command_lags(&topics(), &[], &logs);
        assert_eq!((nobody[0].group.as_deref(), nobody[0].behind), (None, 10 + 4 + 3));
    }
}
