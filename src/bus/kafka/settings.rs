//! How to reach Kafka, and the client settings of DESIGN.md section 5 and RELIABILITY.md section 5.4.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;

/// How to reach a cluster. `Debug` shows no secret: a client's configuration is never printed whole.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port`, comma separated.
    pub bootstrap: String,
    /// The consumer group: engines of one group share the partitions.
    pub group: String,
    /// A stable name: static membership, so that a restart moves no partitions.
    pub instance: Option<String>,
    extra: BTreeMap<String, String>,
}

/// What may be set besides: how to authenticate and encrypt, and how much a producer holds. Everything else is ours, since a client's
/// configuration is code (RELIABILITY.md section 6) and the promises rest on it.
const ALLOWED: [&str; 14] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "client.rack",
    "socket.keepalive.enable",
    QUEUE_MESSAGES,
    QUEUE_KBYTES,
];

/// Records that a producer holds at most until the broker has acknowledged them; what has no room waits in front of it.
const QUEUE_MESSAGES: &str = "queue.buffering.max.messages";
/// The same in kB.
const QUEUE_KBYTES: &str = "queue.buffering.max.kbytes";

impl KafkaSettings {
    /// Settings without authentication.
    pub fn new(bootstrap: &str, group: &str, instance: Option<String>) -> Self {
        Self { bootstrap: bootstrap.to_owned(), group: group.to_owned(), instance, extra: BTreeMap::new() }
    }

    /// The same cluster for another group, without a stable name.
    #[must_use]
    pub fn for_group(&self, group: &str) -> Self {
        Self { group: group.to_owned(), instance: None, ..self.clone() }
    }

    /// Adds a client property.
    ///
    /// # Errors
    /// It is not among those that may be set, or it would switch verification off.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, String> {
        if !ALLOWED.contains(&name) {
            return Err(format!("client property {name} may not be set; allowed are {}", ALLOWED.join(", ")));
        }
        if name == "ssl.endpoint.identification.algorithm" && value != "https" {
            return Err("verification of the broker's name may not be switched off".to_owned());
        }
        self.extra.insert(name.to_owned(), value.to_owned());
        Ok(self)
    }

    /// True when records travel unencrypted.
    pub fn is_plaintext(&self) -> bool {
        !self.extra.get("security.protocol").is_some_and(|protocol| protocol.to_ascii_lowercase().contains("ssl"))
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("client.id", "sagabus").set("log_level", "3");
        config.set("allow.auto.create.topics", "false").set("topic.metadata.refresh.interval.ms", "30000");
        config.set("reconnect.backoff.max.ms", "1000");
        let is_producers = |name: &str| matches!(name, QUEUE_MESSAGES | QUEUE_KBYTES);
        for (name, value) in self.extra.iter().filter(|(name, _)| !is_producers(name)) {
            config.set(name, value);
        }
        config
    }

    pub(super) fn admin(&self) -> ClientConfig {
        self.client()
    }

    /// For questions about offsets: no group, committed records only.
    pub(super) fn lookup(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("isolation.level", "read_committed").set("enable.auto.commit", "false");
        config.set("auto.offset.reset", "error");
        config.set("group.id", format!("{}-lookup", self.group)).set("enable.partition.eof", "true");
        config
    }

    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", "8000")
            .set("heartbeat.interval.ms", "2000")
            .set("max.poll.interval.ms", "60000")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.wait.max.ms", "100")
            .set("enable.partition.eof", "false");
        if let Some(instance) = &self.instance {
            config.set("group.instance.id", instance);
        }
        config
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "120000")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "1")
            .set("message.max.bytes", "1100000");
        for (name, ours) in [(QUEUE_MESSAGES, "200000"), (QUEUE_KBYTES, "262144")] {
            config.set(name, self.extra.get(name).map_or(ours, String::as_str));
        }
        config
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("bootstrap", &self.bootstrap)
            .field("group", &self.group)
            .field("instance", &self.instance)
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let settings = KafkaSettings::new("b:1", "g", None).with("sasl.password", "hunter2").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn how_much_a_producer_holds_may_be_set_and_is_no_other_client_s() {
        let settings = KafkaSettings::new("b:1", "g", None);
        assert_eq!(settings.producer().get(QUEUE_MESSAGES), Some("200000"));
        let settings = settings.with(QUEUE_MESSAGES, "20").unwrap();
        assert_eq!(settings.producer().get(QUEUE_MESSAGES), Some("20"));
        assert_eq!(settings.consumer().get(QUEUE_MESSAGES), None);
    }

    #[test]
    fn properties_that_run_code_or_weaken_are_refused() {
        let settings = KafkaSettings::new("b:1", "g", None);
        for name in ["plugin.library.paths", "sasl.kerberos.kinit.cmd", "enable.ssl.certificate.verification"] {
            assert!(settings.clone().with(name, "x").is_err());
        }
        assert!(settings.with("ssl.endpoint.identification.algorithm", "none").is_err());
    }
}
