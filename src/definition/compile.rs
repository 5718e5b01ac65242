//! From a source to a checked definition. Nothing stops at the first thing that is wrong: the report holds them all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_saphyr::Location;

use crate::core::{Definition, Step, StepIx, StepKind, limits};

use super::check;
use super::compiled::Compiled;
use super::file::{self, DefinitionFile, Format, Parsed, parse};
use super::graph::{Graph, places};
use super::report::{self, Finding, Report};
use super::shape;
use super::source::Source;
use super::steps::kind;

impl Compiled {
    /// Compiles a source.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(source: &Source) -> Result<Self, Report> {
        let mut bench = Bench { source, report: Report::default(), validators: HashMap::new() };
        if source.yaml.len() > limits::DEFINITION_BYTES {
            let message = format!("has {} bytes, more than {}", source.yaml.len(), limits::DEFINITION_BYTES);
            return Err(Report::of_file(&source.file, message, "split it into several definitions"));
        }
        let Some(model) = bench.read() else { return Err(bench.into_report()) };
        let compiled = bench.definition(&model);
        let report = bench.into_report();
        match compiled {
            Some(compiled) if report.is_empty() => Ok(compiled),
            Some(_) | None => Err(report),
        }
    }
}

pub(super) struct Bench<'a> {
    pub(super) source: &'a Source,
    report: Report,
    /// Each schema is compiled once, however many steps name it.
    pub(super) validators: HashMap<String, Result<Arc<jsonschema::Validator>, String>>,
}

impl Bench<'_> {
    fn into_report(mut self) -> Report {
        self.report.sort();
        self.report.texts.push((self.source.file.clone(), self.source.yaml.clone()));
        self.report
    }

    pub(super) fn find(&mut self, at: Location, message: String, hint: &str) {
        let number = |place: u64| usize::try_from(place).unwrap_or(1).max(1);
        self.add(number(at.line()), number(at.column()), message, hint);
    }

    /// True when enough is wrong: what is found beyond is left out.
    fn is_full(&self) -> bool {
        self.report.findings.len() >= limits::FINDINGS
    }

    fn add(&mut self, line: usize, column: usize, message: String, hint: &str) {
        if self.report.findings.len() < limits::FINDINGS {
            let (file, hint) = (self.source.file.clone(), hint.to_owned());
            self.report.findings.push(Finding { file, line, column, message, hint });
        }
    }

    /// The file as its author wrote it, without what does not fit the format: that is said. `None` when nothing sensible is left.
    fn read(&mut self) -> Option<DefinitionFile> {
        let parsed = parse(&self.source.yaml);
        if let Ok(Parsed { model, has_unknown_keys: false }) = parsed {
            return Some(model);
        }
        let mut misfits = shape::misfits(&self.source.yaml, limits::FINDINGS);
        if parsed.is_ok() {
            misfits.retain(|misfit| misfit.is_unknown_key);
        }
        for misfit in &misfits {
            let (line, column) = report::place(&self.source.yaml, misfit.at);
            self.add(line, column, misfit.message.clone(), &misfit.hint);
        }
        match parsed {
            Ok(parsed) => Some(parsed.model),
            Err(error) if misfits.is_empty() => {
                let at = error.location().unwrap_or(Location::UNKNOWN);
                self.find(at, file::said(&error), "see the format in schemas/saga.v1.json");
                None
            }
            Err(_) => parse(&shape::without_words(&self.source.yaml, &misfits)).ok().map(|parsed| parsed.model),
        }
    }

    fn definition(&mut self, model: &DefinitionFile) -> Option<Compiled> {
        self.names(model);
        if model.steps.0.len() > limits::STEPS {
            let message = format!("{} steps, at most {} are allowed", model.steps.0.len(), limits::STEPS);
            self.find(model.steps.0[limits::STEPS].1, message, "split the saga into several");
            return None;
        }
        let names: Vec<String> = model.steps.0.iter().map(|(name, ..)| name.clone()).collect();
        let at: HashMap<&str, usize> = names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
        let graph = self.graph(model, &at, &names)?;
        let kinds: Vec<StepKind> = model.steps.0.iter().map(|(.., step)| kind(step)).collect();
        let ancestors = graph.ancestors();
        for broken in graph.failing(&kinds, &names, &ancestors) {
            self.find(model.steps.0[broken.step].1, broken.message, broken.hint);
        }
        let behind_pivot = graph.behind_pivot(&kinds);
        let step_of = |name: &str| at.get(name).and_then(|place| u16::try_from(*place).ok()).map(StepIx);
        let (mut steps, mut rendered) = (Vec::new(), Vec::new());
        for (place, (name, location, file)) in model.steps.0.iter().enumerate() {
            let message = self.message(*location, name, file, (kinds[place], behind_pivot[place]));
            let (timeout_ms, patience_ms) = self.pace(file, &model.defaults);
            let topic = self.command_topic(*location, name, file, model);
            steps.push(Step {
                name: name.as_str().into(),
                participant: file.participant.as_deref().unwrap_or(name).into(),
                command_topic: topic,
                waits: file.wait.as_ref().map(|wait| wait.answer.into()),
                kind: kinds[place],
                after: places(&graph.after[place]),
                before: places(&graph.before[place]),
                behind_pivot: behind_pivot[place],
                command_type: message.kind.into(),
                undo: self.undo(*location, name, file, kinds[place], behind_pivot[place]),
                timeout_ms,
                patience_ms,
                retry: self.retry(&[&file.retry, &model.defaults.retry], 5, 60_000),
                compensation: self.compensation(file, &model.defaults),
            });
            self.clocks(*location, &steps[place]);
            let messages = (message, file.undo(), file.reply.as_ref());
            rendered.push(self.rendered(*location, messages, &ancestors[place], place, &names, &step_of)?);
        }
        let nowhere = |_: &str| None;
        let business_key = self.text(&model.business_key, &nowhere);
        let when = model.trigger.when.as_ref().map(|when| self.condition(when));
        let (trigger_schema, mask) = (self.schema(model.trigger.schema.as_ref()), self.mask(model));
        let definition = Definition {
            hash: self.source.hash(),
            name: model.name.value.as_str().into(),
            version: model.version,
            trigger_topic: model.trigger.topic.as_str().into(),
            trigger_type: model.trigger.kind.as_str().into(),
            reply_topic: model.reply_topic(),
            outcome_topic: model.outcome_topic(),
            steps,
            order: places(&graph.order),
        };
        for mixed in check::mixed_topics(&definition) {
            self.find(model.name.referenced, mixed, "give each its own topic");
        }
        let when = match when {
            None => None,
            Some(when) => Some(when?),
        };
        Some(Compiled { definition, business_key: business_key?, when, trigger_schema, mask, steps: rendered })
    }

    fn names(&mut self, model: &DefinitionFile) {
        let Format::V1 = model.saga;
        if !check::is_saga_name(&model.name.value) {
            let hint = "1 to 63 lower case letters, digits and hyphens";
            self.find(model.name.referenced, format!("{:?} is no name for a saga", model.name.value), hint);
        }
        for name in
            [Some(&model.trigger.topic), model.reply_topic.as_ref(), model.outcome_topic.as_ref()].into_iter().flatten()
        {
            self.topic(model.name.referenced, name);
        }
        self.kind_of_message(model.name.referenced, &model.trigger.kind);
        if model.steps.0.is_empty() {
            self.find(model.name.referenced, "there are no steps".to_owned(), "a saga needs at least one step");
        }
        for (name, location, _) in &model.steps.0 {
            if !check::is_step_name(name) {
                let hint = "a letter, then letters, digits and _: expressions say steps.<name>.reply";
                self.find(*location, format!("{name:?} is no name for a step"), hint);
            }
        }
        let commanded = model.steps.0.iter().filter(|(.., step)| step.wait.is_none());
        let used: HashSet<&str> =
            commanded.map(|(name, _, step)| step.participant.as_deref().unwrap_or(name)).collect();
        for participant in model.participants.keys().filter(|name| !used.contains(name.as_str())) {
            self.find(
                model.name.referenced,
                format!("participant {participant} is used by no step"),
                "remove it, or name it in a step",
            );
        }
    }

    pub(super) fn topic(&mut self, at: Location, name: &str) {
        if !check::is_topic(name) {
            self.find(
                at,
                format!("{name:?} is no name for a topic"),
                "Kafka allows 1 to 249 letters, digits, dots, _ and -",
            );
        }
    }

    pub(super) fn kind_of_message(&mut self, at: Location, name: &str) {
        if !check::is_type(name) {
            let hint = "a printable text of 1 to 1024 bytes, such as order.reserve";
            self.find(at, format!("{name:?} is no type of a message"), hint);
        }
    }

    /// The graph, or nothing when it makes no sense to go on.
    fn graph(&mut self, model: &DefinitionFile, at: &HashMap<&str, usize>, names: &[String]) -> Option<Graph> {
        let mut after = Vec::new();
        for (name, _, step) in &model.steps.0 {
            let mut predecessors = Vec::new();
            for before in &step.after {
                match at.get(before.value.as_str()) {
                    Some(place) if predecessors.contains(place) => {
                        self.find(
                            before.referenced,
                            format!("step {name} names {} twice", before.value),
                            "name it once",
                        );
                    }
                    Some(place) => predecessors.push(*place),
                    None if self.is_full() => return None,
                    None => {
                        let known: Vec<&str> = names.iter().map(String::as_str).collect();
                        let hint =
                            check::did_you_mean(&before.value, &known).map(|known| format!("did you mean {known}?"));
                        let hint = hint.unwrap_or_else(|| format!("the steps are {}", known.join(", ")));
                        self.find(before.referenced, format!("there is no step {}", before.value), &hint);
                    }
                }
            }
            after.push(predecessors);
        }
        let mut graph = Graph::new(after);
        let over = graph.over_limits(names);
        for broken in &over {
            self.find(model.steps.0[broken.step].1, broken.message.clone(), broken.hint);
        }
        // What else is wrong is found on the graph without the cycle's last edge.
        while let Some(cycle) = graph.cycle().filter(|_| self.report.findings.len() < limits::FINDINGS) {
            let walk: Vec<&str> = cycle.iter().chain(cycle.first()).map(|step| names[*step].as_str()).collect();
            let message = format!("these steps wait for each other: {}", walk.join(" -> "));
            self.find(
                model.steps.0[cycle[0]].1,
                message,
                "none of them, nor what comes after them, can ever start: break the cycle",
            );
            graph = graph.without_edges_between(&cycle);
        }
        (over.is_empty() && graph.order.len() == names.len()).then_some(graph)
    }
}
