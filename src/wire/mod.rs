//! Kafka records to inputs, commands to Kafka records: pure.
