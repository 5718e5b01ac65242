//! The library for services in Rust that take part in sagas, and the barrier that keeps their contract.
