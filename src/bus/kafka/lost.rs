//! Clients that have lost their cluster for good. A broker that goes down or comes up may name no broker at all; librdkafka 2.12 then
//! forgets every one that it knew, and may call off the search for others that it has just begun (its issues 5301 and 5605). Such a
//! client never connects again and says nothing of it: it is told by its statistics, in which no broker is left.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerContext;
use serde::Deserialize;

/// How often a client tells its statistics.
const TOLD_EVERY_MS: &str = "5000";
/// A client without a broker this many times in a row is lost: one that is about to find others is so for a moment.
const CERTAIN: u32 = 2;

/// Whether a client has lost its cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost(Arc<AtomicU32>);

#[derive(Deserialize)]
struct Statistics {
    brokers: HashMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    source: String,
}

impl Lost {
    /// The configuration with what `look` needs. Whoever uses it polls, or what the client tells piles up.
    pub(super) fn told(mut config: ClientConfig) -> ClientConfig {
        config.set("statistics.interval.ms", TOLD_EVERY_MS);
        config
    }

    /// Looks at what the client told. A group's coordinator stays in its list without an address, and finds nobody.
    pub(super) fn look(&self, statistics: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else { return };
        let knows_one = statistics.brokers.values().any(|broker| matches!(&*broker.source, "configured" | "learned"));
        if knows_one {
            self.0.store(0, Ordering::Relaxed);
        } else {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// True for a client that must be replaced.
    pub(super) fn is_certain(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= CERTAIN
    }
}

/// What a plain consumer needs to be watched.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) lost: Lost,
}

impl ClientContext for Watched {
    fn stats_raw(&self, statistics: &[u8]) {
        self.lost.look(statistics);
    }
}

impl ConsumerContext for Watched {}

/// Closes a client on a thread of its own: it may wait for ever for a coordinator that is gone.
pub(super) fn let_go<T: Send + 'static>(client: T) {
    // Where no thread can be had the client is closed here and now.
    _ = std::thread::Builder::new().name("kafka-closer".to_owned()).spawn(move || drop(client));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sources: &[&str]) -> Vec<u8> {
        let broker = |source: &&str| format!(r#""{source}":{{"name":"b","source":"{source}","state":"INIT"}}"#);
        let brokers: Vec<String> = sources.iter().map(broker).collect();
        format!(r#"{{"name":"c","brokers":{{{}}},"topics":{{}}}}"#, brokers.join(",")).into_bytes()
    }

    #[test]
    fn a_client_that_knows_no_broker_twice_in_a_row_is_lost() {
        let lost = Lost::default();
        lost.look(&told(&["logical"]));
        assert!(!lost.is_certain());
        lost.look(&told(&["logical", "configured"]));
        lost.look(&told(&[]));
        assert!(!lost.is_certain(), "it found one in between");
        lost.look(&told(&["logical"]));
        assert!(lost.is_certain());
    }

    #[test]
    fn a_client_whose_brokers_are_all_away_is_not_lost() {
        let lost = Lost::default();
        for _ in 0..3 {
            lost.look(&told(&["logical", "learned"]));
            lost.look(b"no JSON");
        }
        assert!(!lost.is_certain());
    }
}
