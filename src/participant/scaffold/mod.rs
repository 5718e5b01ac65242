//! Writes a small participant for one step of a definition: the loop, the contract and the barrier, and a place for the business code.
//!
//! The templates lie in `templates/`, a folder for each language; `examples/participants/` is what they give for one step of
//! `sagas/trade-settlement`, and a test compares the two. Nothing here touches a disk: the caller writes the files.

mod language;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};

use crate::core::{Definition, StepIx, Undo};

pub use language::Language;

/// One file of a participant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaffoldFile {
    /// Its path below the participant's folder, with `/` between folders.
    pub path: &'static str,
    /// Its text.
    pub text: String,
}

/// Why no participant can be written for a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("step {step}: {message}")]
pub struct ScaffoldError {
    /// The step.
    pub step: String,
    /// What stands in the way.
    pub message: String,
}

/// The files of a participant for `step`, in the order in which a reader wants them.
///
/// # Errors
/// The step waits and has no participant, or a command type cannot stand in a program's text: templates write it between quotes.
pub fn scaffold(language: Language, definition: &Definition, step: StepIx) -> Result<Vec<ScaffoldFile>, ScaffoldError> {
    let step = definition.step(step);
    if let Some(wait) = step.waits {
        let message = format!("it commands nobody: it waits for {}", wait.phrase());
        return Err(ScaffoldError { step: step.name.to_string(), message });
    }
    let undo_type = match &step.undo {
        Undo::Command(kind) => Some(&**kind),
        Undo::Nothing => None,
    };
    for kind in [Some(&*step.command_type), undo_type].into_iter().flatten() {
        if !is_plain(kind) {
            let message =
                format!("type {kind:?} has more than letters, digits and . _ : / -: give the command a plainer one");
            return Err(ScaffoldError { step: step.name.to_string(), message });
        }
    }
    let facts = context! {
        saga => &*definition.name,
        step => &*step.name,
        participant => &*step.participant,
        package => step.participant.to_ascii_lowercase(),
        topic => &*step.command_topic,
        do_type => &*step.command_type,
        undo_type => undo_type,
        sagabus_version => env!("CARGO_PKG_VERSION"),
        handler => language.handler(),
        install => language.install(),
        run => language.run(),
        database_url => language.database_url(),
        barrier => language.ships_barrier(),
        is_node => language == Language::Node,
    };
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    engine.set_syntax(syntax.expect("only white space differs from the default"));
    let render = |(path, template): (&'static str, &'static str)| {
        let text = engine.render_str(template, &facts).expect("each template is rendered by a test");
        ScaffoldFile { path, text }
    };
    let barrier = language
        .ships_barrier()
        .then(|| ScaffoldFile { path: "sagabus_barrier.sql", text: super::barrier::SAGABUS_BARRIER.to_owned() });
    Ok(language.templates().into_iter().map(render).chain(barrier).collect())
}

/// True for text that means itself between the quotes of every language here.
fn is_plain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'-');
    !text.is_empty() && text.bytes().all(allowed)
}
