//! The participants' process: it keeps the contract by the barrier on a Postgres of its own, which loses nothing, and writes every effect
//! into a ledger. And the definition whose commands it takes.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sagabus::bus::KafkaSettings;
use sagabus::core::Json;
use sagabus::participant::{Answering, Done, Handler, Service};
use sagabus::wire::Received;
use sqlx::PgConnection;
use uuid::Uuid;

pub(crate) const STEPS: [&str; 5] = ["order", "clearing", "risk", "accounting", "notification"];
/// The steps that are undone, and which ones are undone before each.
pub(crate) const UNDONE_BEFORE: [(&str, &[&str]); 3] =
    [("order", &["clearing", "notification"]), ("clearing", &[]), ("notification", &[])];

/// Sagas whose number is such are refused at risk, and undone.
pub(crate) fn fails(key: &str) -> bool {
    number(key).is_some_and(|number| number % 5 == 0)
}

/// A trade, on topics that begin with its name.
pub(crate) fn definition(name: &str) -> String {
    let participants: String =
        STEPS.iter().map(|step| format!("  {step}: {{commandTopic: {name}.{step}}}\n")).collect();
    format!(
        "saga: v1\nname: {name}\nversion: 1\ntrigger: {{topic: {name}.triggers, type: go}}\nbusinessKey: ${{trigger.data.id}}\n\
         participants:\n{participants}\
         defaults:\n  timeout: 5s\n  patience: 20m\n  retry: {{maximumAttempts: 4, initialInterval: 100ms, maximumInterval: 60s}}\n  \
         compensation: {{timeout: 5s, patience: 20m, retry: {{maximumInterval: 60s}}}}\n\
         steps:\n  order: {{command: {{type: do, data: \"${{trigger.data}}\"}}, compensate: {{type: undo}}}}\n  \
         clearing: {{after: [order], command: {{type: do, data: \"${{trigger.data}}\"}}, compensate: {{type: undo}}}}\n  \
         risk: {{after: [clearing], kind: pivot, command: {{type: do, data: \"${{trigger.data}}\"}}}}\n  \
         accounting: {{after: [risk], kind: retriable, command: {{type: do, data: \"${{trigger.data}}\"}}}}\n  \
         notification: {{after: [order], kind: retriable, command: {{type: do}}, compensate: {{type: undo}}}}\n"
    )
}

/// Keeps the contract, and answers as badly as the contract allows: in every row some answers come twice, late, or only when they are
/// asked for again.
#[derive(Default)]
struct Ledger {
    lost: HashSet<Uuid>,
}

/// The number in a saga's key.
fn number(key: &str) -> Option<usize> {
    key.rsplit('-').next().and_then(|number| number.parse().ok())
}

impl Handler for Ledger {
    async fn handle(&mut self, transaction: &mut PgConnection, command: &Received) -> Result<Done, sqlx::Error> {
        if &*command.step == "risk" && fails(&command.key) {
            return Ok(Done::Failure { code: "REFUSED", message: "no".to_owned(), retryable: false });
        }
        sqlx::query("INSERT INTO effect (saga_id, step, action) VALUES ($1, $2, $3)")
            .bind(command.saga_id)
            .bind(&*command.step)
            .bind(command.action.name())
            .execute(transaction)
            .await?;
        Ok(Done::Success(Json::empty_object()))
    }

    fn answering(&mut self, command: &Received) -> Answering {
        match number(&command.key).unwrap_or_default() % 20 {
            3 => Answering::Twice,
            7 => Answering::Late(Duration::from_millis(700)),
            11 if &*command.step == "clearing" && self.lost.insert(command.id) => Answering::Lost,
            _ => Answering::Once,
        }
    }
}

/// Serves until it is killed. It comes back when its Postgres does.
pub(crate) async fn serve(name: &str, kafka: &str, ledger: &str) {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let settings = KafkaSettings::new(kafka, &format!("{name}-services"), None);
    let topics: BTreeSet<String> = STEPS.iter().map(|step| format!("{name}.{step}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let stop = AtomicBool::new(false);
    loop {
        match Service::connect("chaos", &settings, &topics, ledger, Ledger::default()).await {
            Ok(mut service) => match service.run(&stop).await {
                Ok(()) => return,
                Err(error) => eprintln!("participants: {error}, again"),
            },
            Err(error) => eprintln!("participants: {error}, again"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
