//! The rows of the table: RELIABILITY.md section 3, A, B and C, on the real stack.

mod clients;
mod database;
mod engine;
mod kafka;
mod locks;
mod topics;

use super::stage::{Stage, World};

/// What a row did and found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How often its fault fired.
    pub(crate) fired: u32,
    /// Milliseconds until the fault was overcome, each time.
    pub(crate) recoveries: Vec<u64>,
    pub(crate) violations: Vec<String>,
}

impl Outcome {
    fn fired(&mut self, recovery: Option<u64>) {
        self.fired += 1;
        self.recoveries.extend(recovery);
    }

    async fn finish(mut self, world: &World, stage: Stage) -> Self {
        self.violations.extend(stage.finish(world).await);
        self
    }
}

/// A kind of fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Its number in RELIABILITY.md section 3.
    pub(crate) id: &'static str,
    pub(crate) fault: &'static str,
    /// What the recovery time counts.
    pub(crate) measured: &'static str,
    /// How often it fires in a full run.
    pub(crate) tries: u32,
    /// About how long one try takes.
    pub(crate) seconds: u32,
    /// A longer recovery is a violation.
    pub(crate) limit_ms: u64,
    /// Few seconds and stable: `make test` runs it.
    pub(crate) is_quick: bool,
    run: Run,
}

#[derive(Clone, Copy, Debug)]
enum Run {
    KilledInPlace,
    KilledForGood,
    KilledAtPoints,
    Zombie,
    AllOwnAll,
    TwoVersions,
    NoFileHandle,
    Terminated,
    TerminatedTwice,
    BrokerAway,
    BrokerRestarted,
    BrokerSlow,
    AcknowledgementLost,
    Rebalances,
    GroupDeleted,
    OutsideTheLog,
    PartitionsAdded,
    TopicMadeAnew,
    WrongPassword,
    CommandsLost,
    ProducerFails,
    LeadersChange,
    AssignmentLost,
    QueueFull,
    Backlog,
    CutAtPoints,
    Crash,
    Promoted,
    PromotedBehind,
    BlackHole,
    AnswersSwallowed,
    DiskFull,
    ReadOnly,
    NoConnectionFree,
    Deadlock,
    Serializable,
    Locked,
    Standby,
}

const fn row(
    id: &'static str,
    fault: &'static str,
    measured: &'static str,
    tries: u32,
    seconds: u32,
    limit_ms: u64,
    run: Run,
) -> Row {
    Row { id, fault, measured, tries, seconds, limit_ms, is_quick: false, run }
}

impl Row {
    /// True for what needs another version's program beside ours.
    pub(crate) fn needs_other(&self) -> bool {
        matches!(self.run, Run::TwoVersions)
    }

    const fn quick(self) -> Self {
        Self { is_quick: true, ..self }
    }
}

const TO_ITS_SAGAS: &str = "kill to the next row of its sagas";
const TO_ITS_ROW: &str = "fault to its next row";
const TO_BOTH: &str = "fault to a row of each engine";
const HEALED_TO_BOTH: &str = "healed to a row of each engine";

/// Limits without a promise are there to find what hangs.
pub(crate) const ROWS: [Row; 38] = [
    row("A1", "kill -9, restarted in place", "kill to its next row", 20, 4, 3_000, Run::KilledInPlace).quick(),
    row("A1", "kill -9, taken over by its peer", TO_ITS_SAGAS, 20, 16, 12_000, Run::KilledForGood),
    row("A1", "kill -9 at each named point", TO_ITS_ROW, 80, 4, 10_000, Run::KilledAtPoints),
    row("A3", "stopped for 16 s, then goes on", "stop to the next row of its sagas", 5, 24, 12_000, Run::Zombie),
    row("A4", "two engines own everything", "sagas that both wrote are counted", 20, 1, 15_000, Run::AllOwnAll),
    row("A6", "SIGTERM under load", "signal to exit 0", 10, 5, 10_000, Run::Terminated),
    row("A6", "SIGTERM twice while draining", "second signal to exit", 5, 6, 1_000, Run::TerminatedTwice),
    row("A7", "two versions, exchanged under load", "start to a row of each engine", 8, 8, 15_000, Run::TwoVersions),
    row("A8", "no file handle free for 8 s", HEALED_TO_BOTH, 4, 14, 15_000, Run::NoFileHandle),
    row("B1", "broker away for 30 s", "broker answers to the next end of a saga", 2, 55, 60_000, Run::BrokerAway),
    row("B1", "broker restarted", "broker answers to the next end of a saga", 8, 25, 60_000, Run::BrokerRestarted),
    row("B2", "broker at 10 kB/s for 10 s", HEALED_TO_BOTH, 3, 14, 15_000, Run::BrokerSlow),
    row(
        "B3",
        "10 leaders a second change for 10 s",
        "last change to a row of each engine",
        6,
        14,
        15_000,
        Run::LeadersChange,
    ),
    row("B4", "acknowledgement of commands lost", TO_ITS_ROW, 20, 2, 10_000, Run::AcknowledgementLost).quick(),
    row(
        "B9",
        "a member comes or goes each second",
        "last change to a row of each engine",
        20,
        2,
        15_000,
        Run::Rebalances,
    ),
    row("B11", "membership denied", "answer to its next row, assigned anew", 20, 8, 15_000, Run::AssignmentLost),
    row("B12", "group deleted", "start to a row of each engine", 1, 20, 15_000, Run::GroupDeleted),
    row("B12", "offset outside the log", "seek to the partition's next record", 1, 30, 15_000, Run::OutsideTheLog),
    row("B13", "partitions added", "to a record of each new partition", 1, 60, 60_000, Run::PartitionsAdded),
    row("B13", "topic deleted and made anew", "seek to a record of each partition", 1, 30, 30_000, Run::TopicMadeAnew),
    row("B14", "wrong password at the start", "start to exit 2", 5, 3, 10_000, Run::WrongPassword).quick(),
    row("B15", "producer fails for good", TO_ITS_ROW, 5, 3, 10_000, Run::ProducerFails),
    row("B16", "queue to the broker full", "healed to the next end of a saga", 5, 12, 15_000, Run::QueueFull),
    row("B17", "acknowledged commands lost", "loss to the end of the sagas of then", 5, 15, 60_000, Run::CommandsLost),
    row("B18", "backlog of 300,000 records", "start to the end of the backlog", 1, 60, 180_000, Run::Backlog),
    row("C1", "connection cut at each statement", TO_ITS_ROW, 50, 3, 10_000, Run::CutAtPoints),
    row("C2", "crash, restart", TO_BOTH, 10, 6, 30_000, Run::Crash).quick(),
    row("C3", "standby promoted", TO_BOTH, 20, 16, 15_000, Run::Promoted),
    row("C4", "standby promoted, last commits lost", TO_BOTH, 20, 16, 15_000, Run::PromotedBehind),
    row("C5", "black hole in both directions", "fault to the connection given up", 5, 25, 10_000, Run::BlackHole),
    row("C5", "answers swallowed", "fault to the connection given up", 5, 25, 10_000, Run::AnswersSwallowed),
    row("C6", "deadlock with another session", TO_BOTH, 10, 4, 10_000, Run::Deadlock).quick(),
    row("C6", "every transaction serializable for 5 s", HEALED_TO_BOTH, 3, 9, 15_000, Run::Serializable),
    row("C7", "disk full for 8 s", HEALED_TO_BOTH, 2, 25, 15_000, Run::DiskFull),
    row("C8", "read-only for 6 s", HEALED_TO_BOTH, 3, 15, 15_000, Run::ReadOnly),
    row("C8", "no connection free for 6 s", HEALED_TO_BOTH, 3, 15, 15_000, Run::NoConnectionFree),
    row("C9", "journal locked for 6 s", HEALED_TO_BOTH, 3, 11, 15_000, Run::Locked),
    row("C12", "a standby answers for 6 s", HEALED_TO_BOTH, 3, 12, 15_000, Run::Standby),
];

impl Row {
    /// Fires the fault this often, under load, then waits for every saga and audits.
    pub(crate) async fn run(&self, world: &mut World, tries: u32) -> Outcome {
        match self.run {
            Run::KilledInPlace => engine::killed_in_place(world, tries).await,
            Run::KilledForGood => engine::killed_for_good(world, tries).await,
            Run::KilledAtPoints => engine::killed_at_points(world, tries).await,
            Run::Zombie => engine::zombie(world, tries).await,
            Run::AllOwnAll => engine::all_own_all(world, tries).await,
            Run::TwoVersions => engine::two_versions(world, tries).await,
            Run::NoFileHandle => engine::no_file_handle(world, tries).await,
            Run::Terminated => engine::terminated(world, tries).await,
            Run::TerminatedTwice => engine::terminated_twice(world, tries).await,
            Run::BrokerAway => kafka::broker_away(world, tries, 30_000).await,
            Run::BrokerRestarted => kafka::broker_away(world, tries, 1_000).await,
            Run::BrokerSlow => kafka::broker_slow(world, tries).await,
            Run::AcknowledgementLost => kafka::acknowledgement_lost(world, tries).await,
            Run::Rebalances => kafka::rebalances(world, tries).await,
            Run::GroupDeleted => kafka::group_deleted(world).await,
            Run::OutsideTheLog => kafka::outside_the_log(world).await,
            Run::PartitionsAdded => topics::partitions_added(world).await,
            Run::TopicMadeAnew => topics::topic_made_anew(world).await,
            Run::Backlog => topics::backlog(world).await,
            Run::WrongPassword => kafka::wrong_password(world, tries).await,
            Run::CommandsLost => topics::commands_lost(world, tries).await,
            Run::ProducerFails => kafka::producer_fails(world, tries).await,
            Run::LeadersChange => clients::leaders_change(world, tries).await,
            Run::AssignmentLost => clients::assignment_lost(world, tries).await,
            Run::QueueFull => clients::queue_full(world, tries).await,
            Run::CutAtPoints => database::cut_at_points(world, tries).await,
            Run::Crash => database::crash(world, tries).await,
            Run::Promoted => database::promoted(world, tries, database::Lag::None).await,
            Run::PromotedBehind => database::promoted(world, tries, database::Lag::Some).await,
            Run::BlackHole => database::swallowed(world, tries, super::proxy::Weather::Swallows).await,
            Run::AnswersSwallowed => database::swallowed(world, tries, super::proxy::Weather::SwallowsAnswers).await,
            Run::DiskFull => database::disk_full(world, tries).await,
            Run::ReadOnly => database::read_only(world, tries).await,
            Run::NoConnectionFree => database::no_connection_free(world, tries).await,
            Run::Deadlock => locks::deadlock(world, tries).await,
            Run::Serializable => locks::serializable(world, tries).await,
            Run::Locked => locks::locked(world, tries).await,
            Run::Standby => locks::standby(world, tries).await,
        }
    }
}
