//! From a source to a checked definition. Nothing stops at the first thing that is wrong: the report holds them all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use crate::core::{Action, Definition, Step, StepIx, StepKind, limits};

use super::check;
use super::compiled::{Compiled, Rendered, Schema};
use super::expression::Expression;
use super::file::{self, CompensateFile, DefinitionFile, Format, KindFile, MessageFile, Parsed, StepFile, parse};
use super::graph::{Graph, places};
use super::report::{self, Finding, Report};
use super::shape;
use super::source::{self, Source};
use super::template::Template;

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
    source: &'a Source,
    report: Report,
    /// Each schema is compiled once, however many steps name it.
    validators: HashMap<String, Result<Arc<jsonschema::Validator>, String>>,
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
        let mut steps = Vec::new();
        let mut rendered = Vec::new();
        for (place, (name, location, file)) in model.steps.0.iter().enumerate() {
            let participant = file.participant.as_deref().unwrap_or(name);
            let configured =
                model.participants.get(participant).and_then(|participant| participant.command_topic.clone());
            let command_topic = configured.unwrap_or_else(|| format!("{participant}.commands"));
            self.topic(*location, &command_topic);
            self.kind_of_message(*location, &file.command.kind);
            if let Some(CompensateFile::Command(message)) = &file.compensate {
                self.kind_of_message(*location, &message.kind);
            }
            let undo = self.undo(*location, name, file, kinds[place], behind_pivot[place]);
            steps.push(Step {
                name: name.as_str().into(),
                participant: participant.into(),
                command_topic: command_topic.into(),
                kind: kinds[place],
                after: places(&graph.after[place]),
                before: places(&graph.before[place]),
                behind_pivot: behind_pivot[place],
                command_type: file.command.kind.as_str().into(),
                undo,
                timeout_ms: self.millis(&[&file.timeout, &model.defaults.timeout], 30_000),
                patience_ms: self.millis(&[&file.patience, &model.defaults.patience], 300_000),
                retry: self.retry(&[&file.retry, &model.defaults.retry], 5, 60_000),
                compensation: self.compensation(file, &model.defaults),
            });
            self.clocks(*location, &steps[place]);
            rendered.push(self.rendered(*location, file, &ancestors[place], place, &names, &step_of)?);
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
            reply_topic: topic(model.reply_topic.as_ref(), &model.name.value, "replies"),
            outcome_topic: topic(model.outcome_topic.as_ref(), &model.name.value, "events"),
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
        let used: HashSet<&str> =
            model.steps.0.iter().map(|(name, _, step)| step.participant.as_deref().unwrap_or(name)).collect();
        for participant in model.participants.keys().filter(|name| !used.contains(name.as_str())) {
            self.find(
                model.name.referenced,
                format!("participant {participant} is used by no step"),
                "remove it, or name it in a step",
            );
        }
    }

    fn topic(&mut self, at: Location, name: &str) {
        if !check::is_topic(name) {
            self.find(
                at,
                format!("{name:?} is no name for a topic"),
                "Kafka allows 1 to 249 letters, digits, dots, _ and -",
            );
        }
    }

    fn kind_of_message(&mut self, at: Location, name: &str) {
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

    fn rendered(
        &mut self,
        at: Location,
        file: &StepFile,
        ancestors: &[bool],
        place: usize,
        names: &[String],
        step: &dyn Fn(&str) -> Option<StepIx>,
    ) -> Option<Rendered> {
        let undo = match &file.compensate {
            Some(CompensateFile::Command(message)) => Some(&**message),
            Some(CompensateFile::Nothing) | None => None,
        };
        let command = self.data(&file.command, step).unwrap_or(Some(Template::Literal("{}".to_owned())));
        let undo_data = undo.and_then(|message| self.data(message, step));
        for (template, action) in
            [(command.as_ref(), Action::Do), (undo_data.as_ref().and_then(Option::as_ref), Action::Undo)]
        {
            let roots = template.map(Template::roots).unwrap_or_default();
            for message in check::unreadable(&roots, ancestors, place, action, names) {
                self.find(at, message, "read the trigger and the replies of steps that are done before (see after)");
            }
        }
        let command_schema = self.schema(file.command.schema.as_ref());
        let undo_schema = self.schema(undo.and_then(|message| message.schema.as_ref()));
        let reply_schema = self.schema(file.reply.as_ref().and_then(|reply| reply.schema.as_ref()));
        let undo = undo_data.map(|compiled| compiled.unwrap_or(Template::Literal("null".to_owned())));
        let command = command.unwrap_or(Template::Literal("null".to_owned()));
        Some(Rendered { command, command_schema, undo, undo_schema, reply_schema })
    }

    /// `None` when there is no data; `Some(None)` when it is wrong, which has been said.
    fn data(&mut self, message: &MessageFile, step: &dyn Fn(&str) -> Option<StepIx>) -> Option<Option<Template>> {
        let data: &Spanned<Value> = message.data.as_ref()?;
        match Template::compile(&data.value, step) {
            Ok(template) => Some(Some(template)),
            Err(error) => {
                self.find(data.referenced, error, "expressions are CEL between ${ and }");
                Some(None)
            }
        }
    }

    fn text(&mut self, text: &Spanned<String>, step: &dyn Fn(&str) -> Option<StepIx>) -> Option<Template> {
        match Template::compile_text(&text.value, step) {
            Ok(Template::Literal(_)) => {
                self.find(
                    text.referenced,
                    "businessKey is the same for every saga".to_owned(),
                    "read it from the trigger: ${trigger.data.id}",
                );
                None
            }
            Ok(template) => self.before_start(text.referenced, template),
            Err(error) => {
                self.find(text.referenced, error, "before a saga begins there is only its trigger");
                None
            }
        }
    }

    /// A template that is asked of a trigger reads what there is then.
    fn before_start(&mut self, at: Location, template: Template) -> Option<Template> {
        let roots = template.roots();
        let Some(early) = roots.iter().find(|root| !root.is_before_start()) else { return Some(template) };
        let hint = "before a saga begins there are its trigger, saga.name and saga.version";
        self.find(at, format!("{early} is read before there is one"), hint);
        None
    }

    fn condition(&mut self, when: &Spanned<String>) -> Option<Template> {
        let text = when.value.trim().strip_prefix("${").and_then(|text| text.strip_suffix('}')).unwrap_or(&when.value);
        match Expression::compile(text, &|_| None) {
            Ok(expression) => self.before_start(when.referenced, Template::Value(expression)),
            Err(error) => {
                self.find(when.referenced, error, "before a saga begins there is only its trigger");
                None
            }
        }
    }

    fn schema(&mut self, name: Option<&Spanned<String>>) -> Option<Schema> {
        let name = name?;
        let Some(text) = self.source.schemas.get(&name.value) else {
            let why = if source::is_inside(&name.value) { "cannot be read" } else { "lies outside the project" };
            let hint = "schemas are files, named relative to the definition file, at most one folder up";
            self.find(name.referenced, format!("schema {} {why}", name.value), hint);
            return None;
        };
        let compile = || {
            serde_json::from_str::<Value>(text)
                .map_err(|error| error.to_string())
                .and_then(|schema| jsonschema::validator_for(&schema).map_err(|error| error.to_string()))
                .map(Arc::new)
        };
        match self.validators.entry(name.value.clone()).or_insert_with(compile).clone() {
            Ok(validator) => Some(Schema { name: name.value.clone(), validator }),
            Err(error) => {
                self.find(
                    name.referenced,
                    format!("schema {}: {error}", name.value),
                    "it must be JSON Schema without remote references",
                );
                None
            }
        }
    }
}

fn kind(step: &StepFile) -> StepKind {
    match step.kind {
        Some(KindFile::Pivot) => StepKind::Pivot,
        Some(KindFile::Retriable) => StepKind::Retriable,
        Some(KindFile::ReadOnly) => StepKind::ReadOnly,
        Some(KindFile::Compensatable) | None => StepKind::Compensatable,
    }
}

fn topic(written: Option<&String>, name: &str, what: &str) -> Arc<str> {
    written.map_or_else(|| format!("{name}.{what}").into(), |topic| topic.as_str().into())
}
