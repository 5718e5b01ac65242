//! Which sagas an action is for: one, or many, for which a plan is made.

use std::path::PathBuf;

use clap::Args;

use crate::core::Timestamp;
use crate::operations::{self, Condition, Exit, Failure, Selection};

use super::arguments::OneSaga;
use super::input;

/// One saga, or many.
#[derive(Clone, Debug, Args)]
pub(super) struct Sagas {
    /// The saga's id or business key.
    #[arg(
        value_name = "ID|KEY",
        required_unless_present_any = ["conditions", "failure", "file"],
        conflicts_with_all = ["conditions", "failure", "file"]
    )]
    saga: Option<String>,
    /// The definition, where a key fits several.
    #[arg(long, conflicts_with = "failure")]
    definition: Option<String>,
    /// Plan it for every saga for which this is true, as `list --where`; may be said several times.
    #[arg(long = "where", value_name = "NAME=VALUE", value_parser = condition, conflicts_with_all = ["failure", "file"])]
    conditions: Vec<(String, Condition)>,
    /// Plan it for the sagas of a group that `failures` shows.
    #[arg(long, value_name = "G", conflicts_with = "file")]
    failure: Option<String>,
    /// Plan it for the sagas that a file names, or - for standard input: an id or business key a line.
    #[arg(long, value_name = "FILE|-")]
    file: Option<PathBuf>,
}

/// A step of one saga, or of many.
#[derive(Clone, Debug, Args)]
pub(super) struct OnStep {
    #[command(flatten)]
    on: Sagas,
    #[command(flatten)]
    step: Step,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Step {
    /// The step's name.
    #[arg(value_name = "STEP", required_unless_present_any = ["conditions", "failure", "file"])]
    step: Option<String>,
    /// The step's name, in a plan.
    #[arg(long = "step", value_name = "STEP", conflicts_with = "saga")]
    of_many: Option<String>,
}

/// What was said of the sagas.
#[derive(Clone, Debug)]
pub(super) enum Said {
    One(OneSaga),
    Many(Many),
}

/// Many sagas, as they were said.
#[derive(Clone, Debug)]
pub(super) struct Many {
    pub(super) definition: Option<String>,
    pub(super) conditions: Vec<(String, Condition)>,
    pub(super) failure: Option<String>,
    file: Option<PathBuf>,
}

fn condition(text: &str) -> Result<(String, Condition), String> {
    Ok((text.to_owned(), Condition::parse(text)?))
}

impl Sagas {
    pub(super) fn said(self) -> Said {
        let Self { saga, definition, conditions, failure, file } = self;
        match saga {
            Some(saga) => Said::One(OneSaga { saga, definition }),
            None => Said::Many(Many { definition, conditions, failure, file }),
        }
    }
}

impl OnStep {
    /// The sagas and the step.
    ///
    /// # Errors
    /// A plan needs `--step` (exit 2).
    pub(super) fn said(self) -> Result<(Said, String), Failure> {
        let step = self.step.step.or(self.step.of_many);
        let step = step.ok_or_else(|| Failure::new(Exit::Usage, "--step is missing", "say which step: --step NAME"))?;
        Ok((self.on.said(), step))
    }
}

impl Many {
    /// As it is kept with the plan.
    pub(super) fn text(&self) -> String {
        let conditions = self.conditions.iter().map(|(said, _)| format!("--where {said}"));
        let definition = self.definition.iter().map(|name| format!("--definition {name}"));
        let failure = self.failure.iter().map(|group| format!("--failure {group}"));
        let file = self.file.iter().map(|path| format!("--file {}", path.display()));
        conditions.chain(definition).chain(failure).chain(file).collect::<Vec<_>>().join(" ")
    }

    /// Reads the file, if one is named.
    ///
    /// # Errors
    /// It cannot be read (exit 2).
    pub(super) fn selection(&self, now: Timestamp) -> Result<Selection, Failure> {
        if let Some(group) = &self.failure {
            return Ok(Selection::Failure(group.clone()));
        }
        let Some(names) = self.names()? else {
            let conditions: Vec<Condition> = self.conditions.iter().map(|(_, condition)| condition.clone()).collect();
            let mut filter = operations::filter(&conditions, now);
            filter.definition = self.definition.clone().or(filter.definition);
            return Ok(Selection::Where(filter));
        };
        Ok(Selection::Named(names.lines().map(str::to_owned).collect(), self.definition.clone()))
    }

    /// What the file says, if one is named.
    ///
    /// # Errors
    /// It cannot be read (exit 2).
    pub(super) fn names(&self) -> Result<Option<String>, Failure> {
        self.file.as_ref().map(|path| input::text("--file", path)).transpose()
    }
}
