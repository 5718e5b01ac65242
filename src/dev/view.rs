//! The live view: counts by phase, the newest sagas with their steps, the ledger. Plain lines where there is no terminal.

use super::demo::DevOptions;
use super::screen::{Ink, Scene, Screen, Words};
use super::summary::{Line, Picture, mark};

/// What is drawn on.
pub(super) enum View {
    /// A terminal, and what its last line says.
    Live(Screen, String),
    /// Lines; the last one that was printed.
    Plain(String),
}

impl View {
    /// `hint` says how to look inside.
    #[expect(clippy::print_stdout, reason = "plain lines are the view where there is no terminal")]
    pub(super) fn open(options: &DevOptions, hint: String) -> Self {
        if options.is_live() {
            return Self::Live(Screen::open(), hint);
        }
        if options.once.is_none() {
            println!("{hint}");
        }
        Self::Plain(String::new())
    }

    /// True when somebody pressed q, Esc or Ctrl-C.
    pub(super) fn wants_to_end(&self) -> bool {
        match self {
            Self::Live(screen, _) => screen.wants_to_end(),
            Self::Plain(_) => false,
        }
    }

    /// Shows the picture.
    #[expect(clippy::print_stdout, reason = "plain lines are the view where there is no terminal")]
    pub(super) fn draw(&mut self, picture: &Picture) {
        match self {
            Self::Plain(last) => {
                let line = headline(picture);
                if *last != line {
                    println!("{line}");
                    *last = line;
                }
            }
            Self::Live(screen, hint) => screen.draw(&scene(picture, hint)),
        }
    }
}

fn headline(picture: &Picture) -> String {
    let counts = picture.counts.iter().map(|(phase, count)| format!("{phase} {count}  "));
    let counts: String = counts.collect();
    format!("begun {}  {counts}ledger balanced {}/{}", picture.begun, picture.balanced(), picture.ended())
}

fn scene(picture: &Picture, hint: &str) -> Scene {
    let legend = "● done  ◐ under way  ○ not begun  ✗ refused  ? given up  ↩ undone      q ends";
    Scene {
        title: "sagabus dev".to_owned(),
        head: headline(picture),
        body: picture.lines.iter().map(row).collect(),
        foot: format!("{legend}\n{hint}"),
    }
}

fn row(line: &Line) -> Words {
    let mut words = vec![
        (format!("{:<10}{:<18}", line.key, line.definition), Ink::Plain),
        (format!("{:<14}", line.phase.name()), Ink::of_phase(line.phase)),
    ];
    words.extend(line.steps.iter().map(|(name, state)| (format!("{} {name}  ", mark(*state)), Ink::of_step(*state))));
    words
}
