//! The fault proxy: stands between one engine and Kafka or Postgres, knows where frames end and what they are, and does at a named
//! point what networks do: cuts, loses an answer, swallows, dawdles.
//!
//! ```text
//! engine ──request──▶ (Before) ──▶ server
//!        ◀──answer──── (After) ◀──
//! ```
//! A swallowing proxy keeps what it holds and delivers it when it is healed, as TCP does: a statement may arrive long after its engine
//! has given it up.

mod kafka;
mod postgres;

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sagabus::core::Timestamp;
use sagabus::engine::wall_clock;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// What is spoken through a proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Kafka,
    Postgres,
    /// Nobody looks at it.
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The request has arrived at the proxy; the server knows nothing of it.
    Before,
    /// The server has done it and answered; the engine knows nothing of that.
    After,
}

/// A statement of `src/store/postgres/sql`, or a request of Kafka's, and a side of it.
pub(crate) type Point = (String, Side);

/// What happens at a point.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Both ends see a reset; the frame is lost.
    Cut,
    /// The process is killed with SIGKILL; the frame is lost.
    Kill(Arc<AtomicI32>),
    /// The answer to a produce request, a heartbeat or a commit of offsets says this error instead.
    Answer(i16),
}

/// How the network is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Weather {
    #[default]
    Clear,
    /// Nothing passes in either direction, and nobody is told.
    Swallows,
    /// Requests pass; answers do not.
    SwallowsAnswers,
    /// The same on connections of producers; consumers see clear weather.
    SwallowsAcknowledgements,
    /// Bytes a second, for each connection and direction.
    Slow(u32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Direction {
    Up,
    Down,
}

struct Rule {
    number: u64,
    point: Point,
    action: Action,
    tell: oneshot::Sender<Timestamp>,
}

#[derive(Default)]
struct Rules {
    next: u64,
    armed: Vec<Rule>,
    seen: BTreeSet<Point>,
}

struct Shared {
    protocol: Protocol,
    upstream: watch::Sender<u16>,
    weather: watch::Sender<Weather>,
    /// Connections end when it changes.
    cuts: watch::Sender<u64>,
    accepted: watch::Sender<u64>,
    rules: Mutex<Rules>,
}

/// A listening proxy. Its tasks end with the runtime.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

/// A fault that waits for its point; disarmed when dropped.
pub(crate) struct Armed {
    number: u64,
    told: oneshot::Receiver<Timestamp>,
    shared: Arc<Shared>,
}

impl Armed {
    /// When it fired; `None` when it did not within this time.
    pub(crate) async fn fired(&mut self, within: Duration) -> Option<Timestamp> {
        tokio::time::timeout(within, &mut self.told).await.ok()?.ok()
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        self.shared
            .rules
            .lock()
            .expect("nothing panics with the rules")
            .armed
            .retain(|rule| rule.number != self.number);
    }
}

impl Proxy {
    /// Listens at this port, or at any when it is 0.
    pub(crate) async fn listen(protocol: Protocol, port: u16, upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the proxy's port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            protocol,
            upstream: watch::Sender::new(upstream),
            weather: watch::Sender::default(),
            cuts: watch::Sender::default(),
            accepted: watch::Sender::default(),
            rules: Mutex::default(),
        });
        tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    shared.accepted.send_modify(|count| *count += 1);
                    tokio::spawn(connection(Arc::clone(&shared), client));
                }
            }
        });
        Self { port, shared }
    }

    /// Fires once, the next time that this point is reached.
    pub(crate) fn arm(&self, point: &Point, action: Action) -> Armed {
        let (tell, told) = oneshot::channel();
        let mut rules = self.shared.rules.lock().expect("nothing panics with the rules");
        rules.next += 1;
        let number = rules.next;
        rules.armed.push(Rule { number, point: point.clone(), action, tell });
        Armed { number, told, shared: Arc::clone(&self.shared) }
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// Resets every connection.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }

    /// From now on another server answers; whoever is connected to the former one is cut.
    pub(crate) fn switch(&self, upstream: u16) {
        self.shared.upstream.send_replace(upstream);
        self.cut();
    }

    /// Points that were reached so far.
    pub(crate) fn seen(&self) -> BTreeSet<Point> {
        self.shared.rules.lock().expect("nothing panics with the rules").seen.clone()
    }

    /// Waits for the next connection; when it came, or `None`.
    pub(crate) async fn next_connection(&self, within: Duration) -> Option<Timestamp> {
        let mut accepted = self.shared.accepted.subscribe();
        tokio::time::timeout(within, accepted.changed()).await.ok()?.ok()?;
        Some(wall_clock())
    }
}

impl Shared {
    /// The action of this point, if one is armed. It fires now.
    fn reach(&self, point: Point) -> Option<Action> {
        let mut rules = self.rules.lock().expect("nothing panics with the rules");
        let armed = rules.armed.iter().position(|rule| rule.point == point);
        rules.seen.insert(point);
        let rule = rules.armed.swap_remove(armed?);
        if let Action::Kill(process) = &rule.action {
            let process = process.load(Ordering::SeqCst);
            if process == 0 || kill(Pid::from_raw(process), Signal::SIGKILL).is_err() {
                return Some(Action::Cut);
            }
        }
        _ = rule.tell.send(wall_clock());
        Some(rule.action)
    }

    async fn pass(&self, direction: Direction, is_producers: bool, bytes: usize) {
        let mut weather = self.weather.subscribe();
        let holds = |weather: &Weather| match weather {
            Weather::Clear | Weather::Slow(_) => false,
            Weather::Swallows => true,
            Weather::SwallowsAnswers => direction == Direction::Down,
            Weather::SwallowsAcknowledgements => direction == Direction::Down && is_producers,
        };
        let now = weather.wait_for(|weather| !holds(weather)).await.map(|weather| *weather);
        if let Ok(Weather::Slow(rate)) = now {
            let slowly = tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / f64::from(rate)));
            tokio::select! {
                () = slowly => {}
                _ = weather.changed() => {}
            }
        }
    }
}

/// What one connection has said so far, as far as its frames' names need it.
enum Session {
    Kafka(kafka::Session),
    Postgres(postgres::Session),
    Opaque,
}

impl Session {
    /// The next frame's length, when all of it is there.
    fn length(&self, direction: Direction, bytes: &[u8]) -> Option<usize> {
        let length = match self {
            Self::Kafka(_) => kafka::length(bytes)?,
            Self::Postgres(session) => session.length(direction, bytes)?,
            Self::Opaque => bytes.len(),
        };
        (length > 0 && length <= bytes.len()).then_some(length)
    }

    fn point(&mut self, direction: Direction, frame: &[u8]) -> Option<Point> {
        match self {
            Self::Kafka(session) => session.point(direction, frame),
            Self::Postgres(session) => session.point(direction, frame),
            Self::Opaque => None,
        }
    }

    /// Makes the answer that was looked at last say this error.
    fn answer(&self, frame: &mut [u8], code: i16) {
        match self {
            Self::Kafka(session) => session.answer(frame, code),
            Self::Postgres(_) | Self::Opaque => panic!("only Kafka's answers are changed"),
        }
    }

    fn is_producers(&self) -> bool {
        matches!(self, Self::Kafka(session) if session.is_producers())
    }
}

async fn connection(shared: Arc<Shared>, mut client: TcpStream) {
    let mut cuts = shared.cuts.subscribe();
    cuts.mark_unchanged();
    let upstream = *shared.upstream.borrow();
    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", upstream)).await {
        _ = (client.set_nodelay(true), server.set_nodelay(true));
        let session = Mutex::new(match shared.protocol {
            Protocol::Kafka => Session::Kafka(kafka::Session::default()),
            Protocol::Postgres => Session::Postgres(postgres::Session::default()),
            Protocol::Opaque => Session::Opaque,
        });
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let up = pump(&shared, &session, Direction::Up, client_reads, server_writes);
        let down = pump(&shared, &session, Direction::Down, server_reads, client_writes);
        tokio::select! {
            _ = async { tokio::try_join!(up, down) } => {}
            _ = cuts.changed() => {}
        }
        _ = server.set_zero_linger();
    }
    _ = client.set_zero_linger();
}

/// Passes frames on in one direction until the end, or until a fault ends the connection.
async fn pump(
    shared: &Shared,
    session: &Mutex<Session>,
    direction: Direction,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let (mut arrived, mut ready) = (BytesMut::new(), BytesMut::new());
    loop {
        loop {
            let mut session = session.lock().expect("nothing panics with the session");
            let Some(length) = session.length(direction, &arrived) else { break };
            let mut frame = arrived.split_to(length);
            match session.point(direction, &frame).and_then(|point| shared.reach(point)) {
                None => {}
                Some(Action::Answer(code)) => session.answer(&mut frame, code),
                Some(Action::Cut | Action::Kill(_)) => return Err(io::ErrorKind::ConnectionReset.into()),
            }
            ready.unsplit(frame);
        }
        if !ready.is_empty() {
            let is_producers = session.lock().expect("nothing panics with the session").is_producers();
            shared.pass(direction, is_producers, ready.len()).await;
            to.write_all(&ready).await?;
            ready.clear();
        }
        if from.read_buf(&mut arrived).await? == 0 {
            return to.shutdown().await;
        }
    }
}
