//! The library for services in Rust, on real Kafka and Postgres (`scripts/services up`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sagabus::bus::{Admin, Group, KafkaSettings, Producer, Purpose, TopicNeed};
use sagabus::core::Json;
use sagabus::participant::{self, Done, Handler, Service};
use sagabus::wire::{Attribute, Outgoing, Received, new_trigger};
use sqlx::PgConnection;
use uuid::Uuid;

use super::support::database::TestDatabase;
use super::support::served::bootstrap;

/// Handles commands of type `mine`, and has nothing to do for them.
struct Picky;

impl Handler for Picky {
    fn handles(&self, command: &Received) -> bool {
        &*command.kind == "mine"
    }

    async fn handle(&mut self, _transaction: &mut PgConnection, _command: &Received) -> Result<Done, sqlx::Error> {
        Ok(Done::Success(Json::empty_object()))
    }
}

fn command(topic: &str, id: u128, kind: &str, reply_to: &str) -> Outgoing {
    let record = new_trigger(topic, "k", kind, &Uuid::from_u128(id).to_string(), "/test", Json::empty_object());
    let mut headers = record.headers;
    let more = [
        ("ce_correlationid", Uuid::from_u128(id + 100).to_string()),
        ("ce_sagastep", "s".to_owned()),
        ("ce_sagaaction", "do".to_owned()),
        ("ce_sagaattempt", "1".to_owned()),
        ("ce_replyto", reply_to.to_owned()),
    ];
    more.into_iter().for_each(|(name, value)| headers.push(name, value));
    Outgoing { headers, ..record }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_command_of_a_service_goes_to_its_dead_letters_as_it_came() {
    let [commands, replies, dead_letters] =
        ["commands", "replies", "dead-letters"].map(|kind| format!("service-{}-{kind}", std::process::id()));
    let kafka = KafkaSettings::new(&bootstrap(), &commands, None);
    let needs =
        [&commands, &replies, &dead_letters].map(|name| TopicNeed { name: name.clone(), purpose: Purpose::Command });
    Admin::connect(&kafka).unwrap().ensure(&needs, 1, 1).await.unwrap();
    let database = TestDatabase::empty("service").await;
    participant::apply(&mut database.connect().await).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let serving = {
        let (stop, kafka, topic, dead) = (Arc::clone(&stop), kafka.clone(), commands.clone(), dead_letters.clone());
        let url = database.url.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let service = Service::connect("picky", &kafka, &[&topic], &url, Picky).await.unwrap();
                service.with_dead_letters(&dead).run(&stop).await.unwrap();
            });
        })
    };
    let mut producer = Producer::new(&kafka).unwrap();
    let no_command = new_trigger(&commands, "k", "mine", "no-uuid", "/test", Json::empty_object());
    let sent = [
        no_command,
        command(&commands, 1, "foreign", &replies),
        command(&commands, 2, "mine", "a-topic-that-nobody-made"),
        command(&commands, 3, "mine", &replies),
    ];
    producer.emit(1, sent.to_vec());

    let mut reader = Group::join(&kafka.for_group(&dead_letters), &[&dead_letters, &replies]).unwrap();
    let mut arrived = Vec::new();
    for _ in 0..150 {
        _ = producer.delivered();
        arrived.extend(reader.poll(10, Duration::from_millis(200)));
        if arrived.len() >= 3 {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    // It would not end while it waits for an answer that has nowhere to go.
    serving.join().unwrap();
    let of = |topic: &str| -> Vec<(String, String)> {
        let here = arrived.iter().filter(|(record, _)| &**record.topic() == topic);
        let said = |attribute| move |event: &sagabus::wire::Event| event.get(attribute).unwrap_or("-").to_owned();
        here.map(|(_, event)| event.as_ref().unwrap())
            .map(|event| (said(Attribute::Type)(event), said(Attribute::Step)(event)))
            .collect()
    };
    let pair = |kind: &str, step: &str| (kind.to_owned(), step.to_owned());
    assert_eq!(of(&dead_letters), [pair("mine", "-"), pair("foreign", "s")]);
    assert_eq!(of(&replies), [pair("mine.success", "s")], "the service went on");
}
