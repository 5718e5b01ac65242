//! What is wrong with definition files: everything at once, each with its place and a hint.

use std::fmt;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, NamedSource, SourceSpan};
use serde::Serialize;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Everything that is wrong with some files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of files and lines.
    pub findings: Vec<Finding>,
    /// Texts of the files that findings are in, for snippets.
    pub(super) texts: Vec<(String, String)>,
}

impl Report {
    /// True when nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// A report of one thing that is wrong with a whole file.
    pub(super) fn of_file(file: &str, message: String, hint: &str) -> Self {
        let finding = Finding { file: file.to_owned(), line: 1, column: 1, message, hint: hint.to_owned() };
        Self { findings: vec![finding], texts: Vec::new() }
    }

    /// Adds another report's findings.
    pub(super) fn merge(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.texts.extend(other.texts);
    }

    pub(super) fn sort(&mut self) {
        self.findings
            .sort_by(|a, b| (&a.file, a.line, a.column, &a.message).cmp(&(&b.file, b.line, b.column, &b.message)));
        self.findings.dedup();
    }

    /// The findings as people read them, each with a snippet of its file.
    pub fn render(&self, is_colored: bool) -> String {
        let theme = if is_colored { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(120);
        let mut text = String::new();
        for finding in &self.findings {
            // A finding that cannot be drawn is still said.
            if handler.render_report(&mut text, &self.diagnostic(finding)).is_err() {
                text.push_str(&finding.to_string());
            }
        }
        text
    }

    fn diagnostic(&self, finding: &Finding) -> Drawn {
        let text = self.texts.iter().find(|(file, _)| *file == finding.file).map(|(_, text)| text.clone());
        let text = text.unwrap_or_default();
        let line_start: usize = text.split_inclusive('\n').take(finding.line.saturating_sub(1)).map(str::len).sum();
        let line = text[line_start.min(text.len())..].lines().next().unwrap_or_default();
        let column = line.char_indices().nth(finding.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
        let length = line[column..].find([':', ',', '}', ' ']).unwrap_or(line.len() - column).max(1);
        let span = (line_start + column, length.min(text.len().saturating_sub(line_start + column)));
        Drawn {
            message: finding.message.clone(),
            hint: finding.hint.clone(),
            source: NamedSource::new(&finding.file, text),
            span: span.into(),
        }
    }
}

/// Line and column, from 1, of a byte of `text`.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {} (hint: {})", self.file, self.line, self.column, self.message, self.hint)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, finding) in self.findings.iter().enumerate() {
            let separator = if place == 0 { "" } else { "\n" };
            write!(f, "{separator}{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

#[derive(Debug)]
struct Drawn {
    message: String,
    hint: String,
    source: NamedSource<String>,
    span: SourceSpan,
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Drawn {}

impl Diagnostic for Drawn {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.hint))
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(miette::LabeledSpan::underline(self.span))))
    }
}
