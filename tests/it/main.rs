//! The integration tests: a module a subject. Those that need Postgres use the configured one or a private one; `api_start`, `faults`, `kafka`,
//! `kafka_bus`, `hostile`, `kit`, `outage`, `seeing_kafka` and `bus_conformance::kafka` need `scripts/services up`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stdout, reason = "fault tests say what they fired")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the phases that it expects")]
#![expect(clippy::disallowed_methods, reason = "tests read where the services are")]

mod api;
mod api_bulk;
mod api_parked;
mod api_retention;
mod api_start;
mod aside;
mod audit_chain;
mod barrier;
mod bus_conformance;
mod changes;
mod cli;
mod console;
mod console_story;
mod crashes;
mod definition_limits;
mod definitions;
mod engine;
mod every_step_fails;
mod faults;
mod fuzz_corpora;
mod given;
mod histories;
mod hold_story;
mod holds;
mod hostile;
mod journals;
mod kafka;
mod kafka_bus;
mod kit;
mod locks;
mod masking;
mod oidc;
mod outage;
mod plan_story;
mod plans;
mod postgres;
mod properties;
mod recorded;
mod redrive;
mod remote;
mod repairs;
mod replay;
mod retention;
mod retention_periods;
mod rows;
mod rules;
mod scaffold;
mod scenarios;
mod seeing;
mod seeing_kafka;
mod service;
mod statement_errors;
mod store_conformance;
mod story;
mod support;
mod verify;
mod waits;
mod waits_story;
