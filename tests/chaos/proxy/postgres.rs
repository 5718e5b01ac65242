//! Postgres's frames: a type, then a length that counts itself; only a connection's first message has no type. Statements are
//! prepared once by their text and called by their name, so the proxy remembers which is which.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::{Direction, Point, Side};

#[derive(Debug, Default)]
pub(super) struct Session {
    has_begun: bool,
    prepared: HashMap<Vec<u8>, String>,
    under_way: Option<String>,
}

/// The engine's statements: text to name.
fn statements() -> &'static HashMap<Vec<u8>, String> {
    static STATEMENTS: OnceLock<HashMap<Vec<u8>, String>> = OnceLock::new();
    STATEMENTS.get_or_init(|| {
        let folder = std::fs::read_dir("src/store/postgres/sql").expect("it runs in the project's folder");
        let files = folder.map(|entry| entry.expect("a readable folder").path());
        files
            .map(|path| {
                let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
                (std::fs::read(&path).expect("a readable file"), name)
            })
            .collect()
    })
}

/// The text up to the next zero byte, and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

impl Session {
    pub(super) fn length(&self, direction: Direction, bytes: &[u8]) -> Option<usize> {
        let typed = usize::from(self.has_begun || direction == Direction::Down);
        let length = bytes.get(typed..typed + 4)?;
        Some(typed + usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?)
    }

    pub(super) fn point(&mut self, direction: Direction, frame: &[u8]) -> Option<Point> {
        if direction == Direction::Down {
            // Ready for the next one: what was under way is committed.
            return (frame[0] == b'Z').then(|| self.under_way.take()).flatten().map(|name| (name, Side::After));
        }
        if !self.has_begun {
            self.has_begun = true;
            return Some(("connect".to_owned(), Side::Before));
        }
        match frame[0] {
            b'P' => {
                let (name, rest) = text(&frame[5..])?;
                let (statement, _) = text(rest)?;
                self.prepared.insert(name.to_vec(), statements().get(statement)?.clone());
                None
            }
            b'B' => {
                let (_, rest) = text(&frame[5..])?;
                let (name, _) = text(rest)?;
                self.under_way = self.prepared.get(name).cloned();
                self.under_way.clone().map(|name| (name, Side::Before))
            }
            _ => None,
        }
    }
}
