//! Writes a participant for a step into a folder. What is there is never replaced.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::definition::{Compiled, Source};
use crate::participant::{self, Language};

use super::failure::{Exit, Failure};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaffolded {
    /// The participant's folder.
    pub folder: PathBuf,
    /// Its files, in the order in which a reader wants them.
    pub files: Vec<PathBuf>,
}

/// Writes a participant for `step` of the definition in `file` into `folder`, by default one named after the participant.
///
/// # Errors
/// The definition is wrong (exit 7) or has no such step (3); a file is there already (4), then nothing is written; the folder cannot be
/// written.
pub fn scaffold(file: &Path, step: &str, language: Language, folder: Option<&Path>) -> Result<Scaffolded, Failure> {
    let compiled = Compiled::load(&Source::read(file)?)?;
    let definition = compiled.definition();
    let Some(place) = definition.place_of(step) else {
        let names: Vec<&str> = definition.steps.iter().map(|step| &*step.name).collect();
        let message = format!("saga {} has no step {step}", definition.name);
        return Err(Failure::new(Exit::NotFound, message, format!("it has {}", names.join(", "))));
    };
    let files = participant::scaffold(language, definition, place)
        .map_err(|error| Failure::new(Exit::Refused, error.to_string(), ""))?;
    let folder = folder.map_or_else(|| PathBuf::from(&*definition.step(place).participant), Path::to_owned);
    let files: Vec<(PathBuf, String)> = files.into_iter().map(|file| (folder.join(file.path), file.text)).collect();
    if let Some((there, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        let message = format!("{} is there already, so nothing was written", there.display());
        return Err(Failure::new(Exit::Refused, message, "name another folder with --out"));
    }
    for (path, text) in &files {
        write_new(path, text).map_err(|error| {
            Failure::new(Exit::Failed, format!("write {}: {error}", path.display()), "check the folder's rights")
        })?;
    }
    Ok(Scaffolded { folder, files: files.into_iter().map(|(path, _)| path).collect() })
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::File::create_new(path)?.write_all(text.as_bytes())
}
