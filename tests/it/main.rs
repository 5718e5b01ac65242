//! The integration tests: a module a subject.
