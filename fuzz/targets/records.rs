//! cargo-fuzz's way to `sagabus_fuzz::records`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: sagabus_fuzz::ignore_foreign_panics(), |bytes: &[u8]| sagabus_fuzz::records(bytes));
