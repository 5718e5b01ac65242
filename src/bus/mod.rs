//! Kafka: the reader (consumer thread), the producer, topics and start-up checks.
