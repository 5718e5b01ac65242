//! A service's loop: commands in, answers out. Offsets are committed when the answers are acknowledged, so an answer that is lost
//! is asked for again and given from the store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use crate::bus::{BusError, Delivery, Group, KafkaSettings, Producer};
use crate::core::{Answer, Json, Outcome};
use crate::wire::{self, Received, Record};

use super::barrier::{Begun, answer_id, begin, finish};

/// Records taken up together.
const BATCH: usize = 500;
/// How long a poll waits.
const POLL: Duration = Duration::from_millis(50);

/// What a handler did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The effect is in the transaction; this is the reply's data.
    Success(Json),
    /// It did not happen and never will under this command id.
    Failure {
        /// A short stable word.
        code: &'static str,
        /// For people.
        message: String,
        /// A new attempt may succeed.
        retryable: bool,
    },
}

/// What a service does with commands. Runs at most once in effect for each command id.
pub trait Handler {
    /// Does, or undoes, what the command says, through `transaction`. An error rolls everything back, and the command comes again.
    fn handle(
        &mut self,
        transaction: &mut PgConnection,
        command: &Received,
    ) -> impl Future<Output = Result<Done, sqlx::Error>>;

    /// Whether a command is this service's to handle; another one goes to the dead letters.
    fn handles(&self, _command: &Received) -> bool {
        true
    }

    /// What becomes of the answer: sent once, unless a test wants it otherwise.
    fn answering(&mut self, _command: &Received) -> Answering {
        Answering::Once
    }
}

/// What becomes of an answer on its way out. Real services send it once; samples and tests show what the contract survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// Sent.
    Once,
    /// Sent twice.
    Twice,
    /// Not sent: the command will be asked again.
    Lost,
    /// Sent this much later.
    Late(Duration),
}

/// Why a service ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Kafka refuses its configuration.
    #[error("reach Kafka")]
    Bus(#[source] BusError),
    /// The service's database does not answer.
    #[error("reach the service's database")]
    Database(#[source] sqlx::Error),
}

/// A service: reads command topics, and answers.
#[derive(Debug)]
pub struct Service<H> {
    name: String,
    group: Group,
    producer: Producer,
    database: PgConnection,
    handler: H,
    delayed: Vec<(Instant, wire::Outgoing)>,
    dead_letter_topic: Option<String>,
    next_tag: u64,
}

impl<H: Handler> Service<H> {
    /// Connects a service to Kafka and to its own database, to which the barrier's file was applied.
    ///
    /// # Errors
    /// Either does not answer.
    pub async fn connect(
        name: &str,
        kafka: &KafkaSettings,
        topics: &[&str],
        database_url: &str,
        handler: H,
    ) -> Result<Self, ServiceError> {
        Ok(Self {
            name: name.to_owned(),
            group: Group::join(kafka, topics).map_err(ServiceError::Bus)?,
            producer: Producer::for_answers(kafka).map_err(ServiceError::Bus)?,
            database: PgConnection::connect(database_url).await.map_err(ServiceError::Database)?,
            handler,
            delayed: Vec::new(),
            dead_letter_topic: None,
            next_tag: 0,
        })
    }

    /// Sends records that are no commands of this service to a topic of its own; without it they are only logged.
    #[must_use]
    pub fn with_dead_letters(self, topic: &str) -> Self {
        Self { dead_letter_topic: Some(topic.to_owned()), ..self }
    }

    /// Serves until `stop` is set. Polling blocks: run it on a thread of its own.
    ///
    /// # Errors
    /// The database is lost; commands that were not answered come again.
    pub async fn run(&mut self, stop: &AtomicBool) -> Result<(), ServiceError> {
        while !stop.load(Ordering::Relaxed) {
            let mut commands = Vec::new();
            for (record, event) in self.group.poll(BATCH, POLL) {
                if event.as_ref().is_ok_and(wire::is_announcement) {
                    continue;
                }
                match event.and_then(|event| wire::received(&record, &event)) {
                    Ok(command) if self.handler.handles(&command) => commands.push(command),
                    Ok(command) => {
                        self.pass_over(
                            &record,
                            &format!("nobody here handles {} {}", command.action.name(), command.kind),
                        );
                    }
                    Err(malformed) => self.pass_over(&record, &malformed.to_string()),
                }
            }
            let answers = self.perform(&commands).await?;
            self.send(answers).await;
        }
        Ok(())
    }

    fn pass_over(&mut self, record: &Record, reason: &str) {
        let (topic, partition, offset) = (record.topic(), record.partition(), record.offset());
        tracing::warn!(%topic, partition, offset, reason, "not a command of this service, passed over");
        if let Some(topic) = &self.dead_letter_topic {
            self.producer.forward(topic, record);
        }
    }

    /// The whole batch in one transaction; each command alone when that fails.
    async fn perform(&mut self, commands: &[Received]) -> Result<Vec<(Received, Answer)>, ServiceError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        match self.transact(commands).await {
            Ok(answers) => Ok(answers),
            Err(error) if commands.len() > 1 => {
                tracing::debug!(%error, "batch rolled back, trying its commands alone");
                let mut answers = Vec::new();
                for command in commands {
                    // A command that fails alone is left unanswered: it comes again.
                    match self.transact(std::slice::from_ref(command)).await {
                        Ok(answer) => answers.extend(answer),
                        Err(error) => {
                            tracing::warn!(command = %command.id, %error, "command rolled back, it comes again")
                        }
                    }
                }
                Ok(answers)
            }
            Err(error @ sqlx::Error::Database(_)) => {
                tracing::warn!(%error, "command rolled back, it comes again");
                Ok(Vec::new())
            }
            Err(error) => Err(ServiceError::Database(error)),
        }
    }

    async fn transact(&mut self, commands: &[Received]) -> Result<Vec<(Received, Answer)>, sqlx::Error> {
        let mut transaction = self.database.begin().await?;
        let mut answers = Vec::new();
        for command in commands {
            match begin(&mut transaction, command, None).await? {
                Begun::Busy => {}
                Begun::Answer(answer) => answers.push((command.clone(), answer)),
                Begun::Run => {
                    let answer = answer_of(command, self.handler.handle(&mut transaction, command).await?);
                    finish(&mut transaction, command, &answer).await?;
                    answers.push((command.clone(), answer));
                }
            }
        }
        transaction.commit().await?;
        Ok(answers)
    }

    /// Sends what is due, waits for the broker, then lets the commands go.
    async fn send(&mut self, answers: Vec<(Received, Answer)>) {
        let now = Instant::now();
        let mut records = Vec::new();
        for (command, answer) in answers {
            let record = wire::answer(&command, &self.name, &answer);
            match self.handler.answering(&command) {
                Answering::Once => records.push(record),
                Answering::Twice => records.extend([record.clone(), record]),
                Answering::Lost => {}
                Answering::Late(later) => self.delayed.push((now + later, record)),
            }
        }
        let (due, later) = std::mem::take(&mut self.delayed).into_iter().partition(|(at, _)| *at <= now);
        self.delayed = later;
        let due: Vec<(Instant, wire::Outgoing)> = due;
        records.extend(due.into_iter().map(|(_, record)| record));
        if !records.is_empty() {
            self.next_tag += 1;
            let tag = self.next_tag;
            self.producer.emit(tag, records);
        }
        while self.producer.unacknowledged() > 0 {
            for delivery in self.producer.delivered() {
                if let Delivery::Refused { error, .. } = delivery {
                    tracing::error!(error, "answer refused by the broker");
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.group.commit();
    }
}

fn answer_of(command: &Received, done: Done) -> Answer {
    match done {
        Done::Success(data) => Answer {
            id: answer_id(command, "success"),
            outcome: Outcome::Success,
            data,
            code: None,
            retryable: false,
            without_effect: false,
        },
        Done::Failure { code, message, retryable } => Answer {
            id: answer_id(command, "failure"),
            outcome: Outcome::Failure,
            data: Json::parse(serde_json::json!({ "message": message }).to_string().as_bytes())
                .expect("serde_json writes JSON"),
            code: Some(code.into()),
            retryable,
            without_effect: false,
        },
    }
}
