//! A cluster of three brokers, for the row that needs several; and whoever makes its leaders change, one partition after the other.
//!
//! A leader changes in two steps, since Kafka elects whom it prefers: the replicas are put in another order, then an election is asked for.
//! The client's safe interface has neither request, and they are a few bytes, so they are written here.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use bytes::BufMut as _;
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig as _};
use sagabus::core::Timestamp;
use sagabus::engine::wall_clock;

/// As `scripts/chaos` knows it, which deletes it when this process cannot.
const NAME: &str = "chaos-cluster";
/// Of each broker.
const HEAP: &str = "320m";
/// Between two changes.
const PACE_MS: u64 = 100;
/// How long the cluster may take for a change.
const CHANGE_MS: i32 = 5_000;
const ASK_AT_MOST: Duration = Duration::from_secs(5);
/// By then every broker has heard of the last change.
const HEARD: Duration = Duration::from_secs(1);

/// The cluster; it is deleted with this value.
pub(crate) struct Brokers {
    /// Their addresses.
    pub(crate) kafka: String,
}

/// `scripts/services` with these words. Returns what it prints.
fn services(words: &[&str]) -> String {
    let mut command = Command::new("scripts/services");
    let done = command.args(words).args(["--name", NAME]).env("SAGABUS_KAFKA_HEAP", HEAP).output();
    let done = done.expect("scripts/services runs");
    assert!(done.status.success(), "scripts/services {words:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("it prints text")
}

impl Brokers {
    pub(crate) fn up() -> Self {
        services(&["down", "--wipe"]);
        services(&["start-kafka", "--brokers", "3"]);
        let addresses = services(&["env"]);
        let kafka = addresses.lines().find_map(|line| line.strip_prefix("export SAGABUS_KAFKA="));
        Self { kafka: kafka.expect("it tells where Kafka is").to_owned() }
    }

    /// For partitions of topics that begin so.
    pub(crate) fn leaders(&self, prefix: &str) -> Leaders {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka).set("log_level", "3");
        let first = self.kafka.split(',').next().expect("there is a broker");
        Leaders {
            client: AdminClient::from_config(&config).expect("a Kafka client"),
            connection: TcpStream::connect(first).expect("Kafka answers"),
            prefix: prefix.to_owned(),
            known: BTreeMap::new(),
        }
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        services(&["down", "--wipe"]);
    }
}

/// A partition, and who keeps it.
struct Seat {
    partition: (String, i32),
    leader: i32,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
}

/// Makes leaders change, and counts those that did.
pub(crate) struct Leaders {
    client: AdminClient<DefaultClientContext>,
    /// To any broker: it passes on what is the controller's.
    connection: TcpStream,
    prefix: String,
    /// Who led each partition when it was looked at last.
    known: BTreeMap<(String, i32), i32>,
}

impl Leaders {
    /// Changes a leader at each pace, for so long. Returns how many changes the cluster tells of. Blocking.
    ///
    /// A partition's turn comes again after seconds, when all brokers have heard of its last change: whoever leads it then and did not
    /// before was elected meanwhile.
    pub(crate) fn change(&mut self, millis: u64) -> u32 {
        self.seats().iter().for_each(|seat| _ = self.is_another(seat));
        let (begun, mut changed) = (wall_clock(), 0);
        for (turn, at) in (0..millis / PACE_MS).map(|turn| begun.plus_millis(turn * PACE_MS)).enumerate() {
            wait_until(at);
            let seats = self.seats();
            let seat = &seats[turn % seats.len()];
            changed += u32::from(self.is_another(seat));
            let Some(next) = successor(seat) else { continue };
            let mut replicas = seat.replicas.clone();
            replicas.retain(|replica| *replica != next);
            replicas.insert(0, next);
            self.elect(&seat.partition, &replicas).expect("the cluster changes a leader");
        }
        std::thread::park_timeout(HEARD);
        changed + u32::try_from(self.seats().iter().filter(|seat| self.is_another(seat)).count()).unwrap()
    }

    fn seats(&self) -> Vec<Seat> {
        let metadata = self.client.inner().fetch_metadata(None, ASK_AT_MOST).expect("Kafka answers");
        let topics = metadata.topics().iter().filter(|topic| topic.name().starts_with(&self.prefix));
        let seats = topics.flat_map(|topic| {
            topic.partitions().iter().map(|partition| Seat {
                partition: (topic.name().to_owned(), partition.id()),
                leader: partition.leader(),
                replicas: partition.replicas().to_vec(),
                in_sync: partition.isr().to_vec(),
            })
        });
        seats.collect()
    }

    /// Whether it is led by somebody else than when it was looked at last.
    fn is_another(&mut self, seat: &Seat) -> bool {
        let before = self.known.insert(seat.partition.clone(), seat.leader);
        before.is_some_and(|leader| leader != seat.leader)
    }

    /// The first of these replicas leads from now on: AlterPartitionReassignments (45), then ElectLeaders (43), of whom is preferred.
    fn elect(&mut self, (topic, partition): &(String, i32), replicas: &[i32]) -> io::Result<()> {
        let mut order = request(45, 0);
        order.put_i32(CHANGE_MS);
        put_one_topic(&mut order, topic);
        put_length(&mut order, 1);
        order.put_i32(*partition);
        put_length(&mut order, replicas.len());
        replicas.iter().for_each(|replica| order.put_i32(*replica));
        // The tags of the partition, of the topic, of the request.
        order.put_bytes(0, 3);
        self.ask(order)?;
        let mut election = request(43, 2);
        election.put_i8(0);
        put_one_topic(&mut election, topic);
        put_length(&mut election, 1);
        election.put_i32(*partition);
        election.put_u8(0);
        election.put_i32(CHANGE_MS);
        election.put_u8(0);
        self.ask(election)
    }

    /// Both answers say how they went behind length, correlation, tags and throttling.
    fn ask(&mut self, mut request: Vec<u8>) -> io::Result<()> {
        let length = i32::try_from(request.len() - 4).expect("a request is short");
        request[..4].copy_from_slice(&length.to_be_bytes());
        self.connection.write_all(&request)?;
        let mut length = [0; 4];
        self.connection.read_exact(&mut length)?;
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?];
        self.connection.read_exact(&mut answer)?;
        match answer.get(9..11) {
            Some([0, 0]) => Ok(()),
            said => Err(io::Error::other(format!("Kafka says {said:?}"))),
        }
    }
}

/// Who leads next: the replica in sync that follows the leader.
fn successor(seat: &Seat) -> Option<i32> {
    let mut able = seat.in_sync.clone();
    able.sort_unstable();
    able.iter().find(|replica| **replica > seat.leader).or(able.first()).copied().filter(|next| *next != seat.leader)
}

fn wait_until(at: Timestamp) {
    while wall_clock() < at {
        std::thread::park_timeout(Duration::from_millis(at.millis_since(wall_clock())));
    }
}

/// The head of a request: room for its length, its kind, its version, a correlation, no client's name, no tags.
fn request(kind: i16, version: i16) -> Vec<u8> {
    let mut request = vec![0; 4];
    request.put_i16(kind);
    request.put_i16(version);
    request.put_i32(0);
    request.put_i16(-1);
    request.put_u8(0);
    request
}

/// A compact length: one more than it is, in one byte while it is small.
fn put_length(request: &mut Vec<u8>, length: usize) {
    request.put_u8(u8::try_from(length + 1).ok().filter(|length| *length < 0x80).expect("it is short"));
}

fn put_one_topic(request: &mut Vec<u8>, topic: &str) {
    put_length(request, 1);
    put_length(request, topic.len());
    request.put_slice(topic.as_bytes());
}
