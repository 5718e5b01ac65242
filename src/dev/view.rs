//! The live view: counts by phase, the newest sagas with their steps, the ledger. Plain lines where there is no terminal.

use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line as TextLine, Span};
use ratatui::widgets::{Block, Paragraph, Wrap};

use crate::core::{Phase, StepStateName};

use super::demo::DevOptions;
use super::summary::{Line, Picture, mark};

/// What is drawn on.
pub(super) enum View {
    /// A terminal, and what its last line says.
    Live(DefaultTerminal, String),
    /// Lines; the last one that was printed.
    Plain(String),
}

impl View {
    /// `hint` says how to look inside.
    #[expect(clippy::print_stdout, reason = "plain lines are the view where there is no terminal")]
    pub(super) fn open(options: &DevOptions, hint: String) -> Self {
        if options.is_live() {
            return Self::Live(ratatui::init(), hint);
        }
        if options.once.is_none() {
            println!("{hint}");
        }
        Self::Plain(String::new())
    }

    /// True when somebody pressed q, Esc or Ctrl-C.
    pub(super) fn wants_to_end(&self) -> bool {
        let Self::Live(..) = self else { return false };
        while event::poll(Duration::ZERO).unwrap_or(false) {
            if let Ok(Event::Key(pressed)) = event::read()
                && matches!(pressed.code, KeyCode::Char('q' | 'c') | KeyCode::Esc)
            {
                return true;
            }
        }
        false
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
            Self::Live(terminal, hint) => {
                if let Err(error) = terminal.draw(|frame| render(frame, picture, hint)) {
                    tracing::warn!(%error, "terminal cannot be drawn on");
                }
            }
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Self::Live(..) = self {
            ratatui::restore();
        }
    }
}

fn headline(picture: &Picture) -> String {
    let counts = picture.counts.iter().map(|(phase, count)| format!("{phase} {count}  "));
    let counts: String = counts.collect();
    format!("begun {}  {counts}ledger balanced {}/{}", picture.begun, picture.balanced(), picture.ended())
}

fn render(frame: &mut ratatui::Frame<'_>, picture: &Picture, hint: &str) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(3), Constraint::Min(1), Constraint::Length(3)]).areas(frame.area());
    frame.render_widget(Paragraph::new(headline(picture)).block(Block::bordered().title(" sagabus dev ".bold())), head);
    let lines: Vec<TextLine<'_>> = picture.lines.iter().take(usize::from(body.height)).map(row).collect();
    frame.render_widget(Paragraph::new(lines), body);
    let legend = "● done  ◐ under way  ○ not begun  ✗ refused  ? given up  ↩ undone      q ends";
    frame.render_widget(Paragraph::new(format!("{legend}\n{hint}")).wrap(Wrap { trim: false }).dim(), foot);
}

fn row(line: &Line) -> TextLine<'_> {
    let color = match line.phase {
        Phase::Completed => Color::Green,
        Phase::Compensated | Phase::CompensatedWithSkips | Phase::Cancelled => Color::Yellow,
        Phase::Stuck | Phase::Abandoned => Color::Red,
        Phase::Running | Phase::Compensating | Phase::Paused => Color::Cyan,
    };
    let mut spans = vec![
        Span::raw(format!("{:<10}{:<18}", line.key, line.definition)),
        Span::styled(format!("{:<14}", line.phase.name()), Style::new().fg(color)),
    ];
    for (name, state) in &line.steps {
        let style = match state {
            StepStateName::Succeeded => Style::new().fg(Color::Green),
            StepStateName::Compensated | StepStateName::Compensating => Style::new().fg(Color::Yellow),
            StepStateName::Failed | StepStateName::GivenUp | StepStateName::CompensationFailed => {
                Style::new().fg(Color::Red)
            }
            StepStateName::Pending | StepStateName::Skipped => Style::new().dim(),
            StepStateName::Ready | StepStateName::Issued | StepStateName::Retrying => Style::new().fg(Color::Cyan),
        };
        spans.push(Span::styled(format!("{} {name}  ", mark(*state)), style));
    }
    TextLine::from(spans)
}
