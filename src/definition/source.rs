//! A definition's text with the schemas that it names: everything that is needed to compile it, today and from Postgres.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::core::{Sha256, limits};

use super::file;
use super::report::{self, Finding, Report};

/// A definition file and the schema files that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Name of the file, for findings.
    pub file: String,
    /// Its text.
    pub yaml: String,
    /// Texts of the schemas, by their path as the file names them.
    pub schemas: BTreeMap<String, String>,
}

impl Source {
    /// Reads a definition file and the schemas that it names.
    ///
    /// # Errors
    /// The file cannot be read, is too large, or is not text.
    pub fn read(path: &Path) -> Result<Self, Report> {
        let file = path.display().to_string();
        let yaml = read_text(path, &file)?;
        let mut source = Self { file: file.clone(), yaml, schemas: BTreeMap::new() };
        let Ok(parsed) = file::parse(&source.yaml) else {
            // What is wrong with it is found again, with all the rest, when it is loaded.
            return Ok(source);
        };
        // What cannot be read is found again, at its place, when it is loaded.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let project = folder.join("..").canonicalize().ok();
        for name in parsed.model.schema_names().into_iter().filter(|name| is_inside(name)) {
            let real = folder.join(&name).canonicalize().ok();
            let stays = real.zip(project.as_ref()).filter(|(real, project)| real.starts_with(project));
            if let Some(text) = stays.and_then(|(real, _)| read_text(&real, &name).ok()) {
                source.schemas.insert(name, text);
            }
        }
        Ok(source)
    }

    /// The self-contained text that Postgres keeps.
    pub fn body(&self) -> String {
        serde_json::to_string(self).expect("a source is plain text")
    }

    /// Reads back what `body` wrote.
    ///
    /// # Errors
    /// It is not such a text.
    pub fn from_body(body: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(body)
    }

    /// SHA-256 of the file's text and those of its schemas: the definition's identity.
    pub fn hash(&self) -> Sha256 {
        let mut bytes = self.yaml.clone().into_bytes();
        for (name, text) in &self.schemas {
            bytes.push(0);
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(text.as_bytes());
        }
        Sha256::of(&bytes)
    }
}

/// A schema may lie in a folder beside that of the definitions, and no farther away.
pub(super) fn is_inside(name: &str) -> bool {
    let ups = Path::new(name).components().filter(|part| matches!(part, Component::ParentDir)).count();
    let is_relative = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::ParentDir | Component::CurDir));
    is_relative && ups <= 1
}

fn read_text(path: &Path, name: &str) -> Result<String, Report> {
    let unreadable =
        |error: std::io::Error| Report::of_file(name, format!("cannot be read: {error}"), "check its path and rights");
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let length = metadata.len();
    if !metadata.is_file() {
        return Err(Report::of_file(name, "is no file".to_owned(), "name a file"));
    }
    if length > limits::DEFINITION_BYTES as u64 {
        let message = format!("has {length} bytes, more than {}", limits::DEFINITION_BYTES);
        return Err(Report::of_file(name, message, "split it into several definitions"));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..good]);
        let (line, column) = report::place(&text, good);
        let (message, hint) = ("is not UTF-8 from here on".to_owned(), "save the file as UTF-8".to_owned());
        let finding = Finding { file: name.to_owned(), line, column, message, hint };
        Report { findings: vec![finding], texts: Vec::new() }
    })
}
