//! The integration tests: a module a subject.

mod definitions;
mod every_step_fails;
mod faults;
mod given;
mod postgres;
mod properties;
mod scenarios;
mod store_conformance;
mod support;
