//! Sagabus: a saga orchestrator for Kafka with a Postgres-backed state machine.
//!
//! The straight line is `poll -> decode -> decide -> dispatch -> commit -> emit`. Each ring below is one step of it, or a tool
//! around it; arrows between rings point one way (`tests/tidy.rs` checks them).

#[macro_use]
pub mod defects;

pub mod api;
pub mod bench;
pub mod bus;
pub mod cli;
pub mod core;
pub mod definition;
pub mod dev;
pub mod dispatch;
pub mod engine;
pub mod kit;
pub mod operations;
pub mod participant;
pub mod replay;
pub mod store;
pub mod wire;
