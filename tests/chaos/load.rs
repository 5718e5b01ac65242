//! The load: triggers at an even pace, each once, acknowledged, until it is told to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sagabus::bus::{Delivery, KafkaSettings, Producer};
use sagabus::core::Json;
use sagabus::wire;

/// Between two triggers.
const PACE: Duration = Duration::from_millis(50);

/// Publishes beside whatever happens; by Kafka's own address, so that no proxy is in its way.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    rests: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Load {
    pub(crate) fn start(kafka: &str, name: &str) -> Self {
        let (stop, rests) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (stop, rests) = (Arc::clone(&stop), Arc::clone(&rests));
            let (kafka, name) = (kafka.to_owned(), name.to_owned());
            move || publish(&kafka, &name, &stop, &rests)
        });
        Self { stop, rests, thread: Some(thread) }
    }

    /// Publishes nothing for a while, or goes on.
    pub(crate) fn rest(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
    }

    /// Ends it. Returns how many triggers are in Kafka.
    pub(crate) fn end(&mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is ended once").join().expect("the publisher does not panic")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The trigger with this number.
pub(crate) fn trigger(name: &str, number: usize) -> wire::Outgoing {
    let key = format!("{name}-{number}");
    let data = Json::parse(format!(r#"{{"id":"{key}"}}"#).as_bytes()).unwrap();
    wire::new_trigger(&format!("{name}.triggers"), &key, "go", &key, "/chaos", data)
}

fn publish(kafka: &str, name: &str, stop: &AtomicBool, rests: &AtomicBool) -> usize {
    let mut producer = Producer::new(&KafkaSettings::new(kafka, "chaos-load", None)).unwrap();
    let (mut begun, mut published) = (0, 0);
    while !stop.load(Ordering::Relaxed) || producer.unacknowledged() > 0 {
        if !stop.load(Ordering::Relaxed) && !rests.load(Ordering::Relaxed) {
            producer.emit(u64::try_from(begun).unwrap(), vec![trigger(name, begun)]);
            begun += 1;
            published += 1;
        }
        for delivery in producer.delivered() {
            if let Delivery::Refused { tag, error, .. } = delivery {
                println!("  trigger {tag} was refused by the broker: {error}");
                published -= 1;
            }
        }
        std::thread::park_timeout(PACE);
    }
    published
}
