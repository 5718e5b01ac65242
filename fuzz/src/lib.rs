//! What must hold of whatever bytes reach Sagabus: a function a kind of input, which panics where it does not hold.
//!
//! Two read it: the targets of cargo-fuzz (`fuzz/targets`, `make fuzz`), which search for such bytes, and `tests/it/fuzz_corpora.rs`,
//! which tries every kept input and its neighbours in each run of the tests.

mod definitions;
mod examples;
mod expressions;
mod framed;
mod ids;
mod inputs;
mod journals;
mod quick;
mod records;

pub use definitions::definitions;
pub use expressions::expressions;
pub use ids::ids;
pub use inputs::inputs;
pub use journals::journals;
pub use records::records;

/// A target's name, which is also that of its corpus, and what it tries.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 6] = [
    ("definitions", definitions),
    ("expressions", expressions),
    ("ids", ids),
    ("inputs", inputs),
    ("journals", journals),
    ("records", records),
];

/// Keeps quiet about panics of the CEL crates: they are caught where the crate is called. The fuzzer's own hook would take them for ours.
pub fn ignore_foreign_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", |location| location.file());
        if !file.contains("/cel-") && !file.contains("/antlr4rust-") {
            hook(panic);
        }
    }));
}
