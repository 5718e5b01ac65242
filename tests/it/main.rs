//! The integration tests: a module a subject.

mod definitions;
mod every_step_fails;
mod postgres;
mod store_conformance;
mod support;
