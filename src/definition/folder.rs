//! Definition files on disk: a folder of them for `serve`, single ones for `lint`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::core::Sha256;

use super::compiled::Compiled;
use super::report::Report;
use super::source::Source;

/// How definition files are named.
const SUFFIX: &str = ".saga.yaml";

/// Every definition of a folder, compiled.
///
/// # Errors
/// Everything that is wrong with any of them; or the folder cannot be read, or holds none.
pub fn read_folder(folder: &Path) -> Result<Vec<(Source, Compiled)>, Report> {
    read_files(&files_of(folder)?)
}

/// Changes when a definition of the folder, or a schema that one of them names, does. Compiles nothing.
pub fn fingerprint(folder: &Path) -> Sha256 {
    let of_file = |file: &PathBuf| match Source::read(file) {
        Ok(source) => format!("{} {}", file.display(), source.hash()),
        Err(report) => report.to_string(),
    };
    let text = match files_of(folder) {
        Ok(files) => files.iter().map(of_file).collect::<Vec<_>>().join("\n"),
        Err(report) => report.to_string(),
    };
    Sha256::of(text.as_bytes())
}

/// The definition files of a folder, sorted.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Report> {
    let shown = folder.display().to_string();
    let unreadable = |error: std::io::Error| {
        Report::of_file(&shown, format!("cannot be read: {error}"), "name a folder of *.saga.yaml files")
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.to_string_lossy().ends_with(SUFFIX) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Report::of_file(&shown, format!("holds no *{SUFFIX} file"), "name a folder of definitions"));
    }
    let inside = folder.canonicalize().map_err(unreadable)?;
    for file in &files {
        if !file.canonicalize().is_ok_and(|real| real.starts_with(&inside)) {
            let message = "is a link that leads out of the folder".to_owned();
            return Err(Report::of_file(&file.display().to_string(), message, "copy the file into the folder"));
        }
    }
    Ok(files)
}

fn read_files(files: &[PathBuf]) -> Result<Vec<(Source, Compiled)>, Report> {
    let mut report = Report::default();
    let mut found: Vec<(Source, Compiled)> = Vec::new();
    for file in files {
        let loaded = Source::read(file).and_then(|source| Compiled::load(&source).map(|compiled| (source, compiled)));
        match loaded {
            Ok(pair) => found.push(pair),
            Err(broken) => report.merge(broken),
        }
    }
    let mut names: BTreeMap<String, &Source> = BTreeMap::new();
    for (source, compiled) in &found {
        if let Some(other) = names.insert(compiled.definition().name.to_string(), source) {
            let message = format!("defines saga {}, and so does {}", compiled.definition().name, other.file);
            report.merge(Report::of_file(&source.file, message, "a folder holds one version of each saga"));
        }
    }
    report.sort();
    if report.is_empty() { Ok(found) } else { Err(report) }
}

/// Everything that is wrong with these files; folders stand for the definitions in them.
pub fn lint_files(paths: &[PathBuf]) -> Report {
    let mut report = Report::default();
    let (folders, files): (Vec<&PathBuf>, Vec<&PathBuf>) = paths.iter().partition(|path| path.is_dir());
    for folder in folders {
        report.merge(read_folder(folder).err().unwrap_or_default());
    }
    let files: Vec<PathBuf> = files.into_iter().cloned().collect();
    report.merge(read_files(&files).err().unwrap_or_default());
    report.sort();
    report
}
