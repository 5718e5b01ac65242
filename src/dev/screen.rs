//! A terminal that is drawn on: a head, lines, a foot. What it showed before comes back in the end. Everything that shows something alive
//! shares it, and none of them knows who draws.

use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Wrap};
use ratatui::{DefaultTerminal, Frame};

use crate::core::{Phase, StepStateName};

/// What a word means, told by its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Nothing in particular.
    Plain,
    /// It went well.
    Good,
    /// It was undone, or is being undone.
    Undone,
    /// It went wrong.
    Bad,
    /// It is under way.
    Busy,
    /// It does not matter now.
    Dim,
}

impl Ink {
    /// Of a saga's phase.
    pub fn of_phase(phase: Phase) -> Self {
        match phase {
            Phase::Completed => Self::Good,
            Phase::Compensated | Phase::CompensatedWithSkips | Phase::Cancelled => Self::Undone,
            Phase::Stuck | Phase::Abandoned => Self::Bad,
            Phase::Running | Phase::Compensating | Phase::Paused => Self::Busy,
        }
    }

    /// Of a step's state.
    pub fn of_step(state: StepStateName) -> Self {
        match state {
            StepStateName::Succeeded => Self::Good,
            StepStateName::Compensated | StepStateName::Compensating => Self::Undone,
            StepStateName::Failed | StepStateName::GivenUp | StepStateName::CompensationFailed => Self::Bad,
            StepStateName::Pending | StepStateName::Skipped => Self::Dim,
            StepStateName::Ready | StepStateName::Issued | StepStateName::Retrying => Self::Busy,
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => Style::new().fg(Color::Green),
            Self::Undone => Style::new().fg(Color::Yellow),
            Self::Bad => Style::new().fg(Color::Red),
            Self::Busy => Style::new().fg(Color::Cyan),
            Self::Dim => Style::new().dim(),
        }
    }
}

/// Words of one line, each with what it means.
pub type Words = Vec<(String, Ink)>;

/// Everything that is shown at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// Stands in the frame of the head.
    pub title: String,
    /// Some lines in a frame; long ones are wrapped.
    pub head: String,
    /// As many lines as fit; long ones are cut.
    pub body: Vec<Words>,
    /// A line or two below.
    pub foot: String,
}

impl Scene {
    /// A body of plain lines.
    #[must_use]
    pub fn with_text(self, text: &str) -> Self {
        Self { body: text.lines().map(|line| vec![(line.to_owned(), Ink::Plain)]).collect(), ..self }
    }
}

/// A terminal that is drawn on, until it is dropped.
pub struct Screen {
    terminal: DefaultTerminal,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}

impl Screen {
    /// Takes the terminal. Nothing else may write to it from here on.
    pub fn open() -> Self {
        Self { terminal: ratatui::init() }
    }

    /// True when somebody pressed q, Esc or Ctrl-C.
    pub fn wants_to_end(&self) -> bool {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            if let Ok(Event::Key(pressed)) = event::read()
                && matches!(pressed.code, KeyCode::Char('q' | 'c') | KeyCode::Esc)
            {
                return true;
            }
        }
        false
    }

    /// Shows the scene in place of the last one.
    pub fn draw(&mut self, scene: &Scene) {
        if let Err(error) = self.terminal.draw(|frame| render(frame, scene)) {
            tracing::warn!(%error, "terminal cannot be drawn on");
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn render(frame: &mut Frame<'_>, scene: &Scene) {
    let inside = usize::from(frame.area().width.saturating_sub(2)).max(1);
    let foot_rows = rows(&scene.foot, usize::from(frame.area().width).max(1));
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(rows(&scene.head, inside).saturating_add(2)),
        Constraint::Min(1),
        Constraint::Length(foot_rows),
    ])
    .areas(frame.area());
    let title = format!(" {} ", scene.title).bold();
    let text = Paragraph::new(scene.head.as_str()).wrap(Wrap { trim: false });
    frame.render_widget(text.block(Block::bordered().title(title)), head);
    let line = |words: &Words| Line::from_iter(words.iter().map(|(word, ink)| Span::styled(word.clone(), ink.style())));
    let lines: Vec<Line<'_>> = scene.body.iter().take(usize::from(body.height)).map(line).collect();
    frame.render_widget(Paragraph::new(lines), body);
    frame.render_widget(Paragraph::new(scene.foot.as_str()).wrap(Wrap { trim: false }).dim(), foot);
}

/// Rows that a text takes when it is wrapped: between words, so that a long line may take one more than its length says.
fn rows(text: &str, width: usize) -> u16 {
    let of_line = |line: &str| match line.chars().count().div_ceil(width) {
        0 | 1 => 1,
        more => more + 1,
    };
    u16::try_from(text.lines().map(of_line).sum::<usize>()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn drawn(scene: &Scene, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory can be drawn on");
        terminal.draw(|frame| render(frame, scene)).expect("memory can be drawn on");
        let buffer = terminal.backend().buffer().clone();
        let row = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    #[test]
    fn a_long_head_is_wrapped_and_what_does_not_fit_of_the_body_is_left_out() {
        let scene = Scene {
            title: "one".to_owned(),
            head: "waiting for a reply from clearing".to_owned(),
            foot: "q ends".to_owned(),
            ..Scene::default()
        };
        let rows = drawn(&scene.with_text("first\nsecond line that is cut\nthird"), 20, 8);
        assert!(rows[0].contains(" one ") && rows[1].contains("waiting for a"), "{rows:?}");
        assert!(rows[2].contains("reply"), "{rows:?}");
        assert_eq!((rows[5].as_str(), rows[6].as_str()), ("first", "second line that is"), "{rows:?}");
        assert_eq!(rows[7], "q ends");
    }
}
