//! A rule: trigger + criteria → action with parameters, as its file says.

use expr::condition::Frame;
use model::{ActionRef, Diagnostic, Location, Map, RuleRef, Schema, TriggerType};
use syntax::{Fields, Node};

use crate::criteria::{Criteria, holds_template};
use crate::evaluator::{Condition, Evaluator, Failure};
use crate::parameters::Parameters;
use crate::reach::Known;

/// Fields of a rule that are read.
const FIELDS: [&str; 6] = ["description", "enabled", "trigger", "criteria", "when", "action"];
/// Fields of a rule that are known and not read yet.
const LATER: [&str; 5] = ["concurrency", "throttle", "debounce", "dedupe", "chain"];

/// One rule, checked as far as its own file tells.
#[derive(Debug)]
pub struct Rule {
    /// What it is called.
    pub reference: RuleRef,
    /// What it is for.
    pub description: Option<String>,
    /// Whether its file switches it on; it does unless it says otherwise.
    pub enabled: bool,
    /// Which events it may select.
    pub trigger: Trigger,
    /// Which of them it selects.
    pub criteria: Criteria,
    /// What must hold besides.
    pub when: Option<Condition>,
    /// What it asks for.
    pub action: Action,
}

/// The kind of event a rule is about.
#[derive(Debug)]
pub struct Trigger {
    /// The trigger type.
    pub kind: TriggerType,
    /// Where the type is named.
    pub location: Location,
    /// What the subscription is made of; fixed values.
    pub parameters: Map,
    written: Node,
}

/// The action a rule asks for.
#[derive(Debug)]
pub struct Action {
    /// The action.
    pub reference: ActionRef,
    /// Where it is named.
    pub location: Location,
    /// Its parameters.
    pub parameters: Parameters,
    written: Node,
}

impl Rule {
    /// Reads the `text` of a rule's `file`.
    ///
    /// Errors: everything that is wrong with it, each with its place.
    pub fn parse(file: &str, text: &str, reference: RuleRef) -> Result<Self, Vec<Diagnostic>> {
        let document = syntax::parse(file, text)?;
        let fields = Fields::new(document.root(), &FIELDS, &LATER);
        let description = fields.optional("description").string();
        let enabled = fields.optional("enabled").bool().unwrap_or(true);
        let trigger = fields.required("trigger").node().map(Trigger::parse);
        let criteria = fields.optional("criteria").node().map(Criteria::parse);
        let when = fields.optional("when").node().map(Condition::parse);
        // Where there is a `chain`, that one is what is wrong.
        let action = match document.root().get("chain") {
            None => fields.required("action"),
            Some(_) => fields.optional("action"),
        };
        let action = action.node().map(Action::parse);
        let trigger = trigger.and_then(|trigger| fields.part(trigger));
        let criteria = criteria.and_then(|criteria| fields.part(criteria)).unwrap_or_default();
        let when = when.and_then(|when| fields.part(when));
        let action = action.and_then(|action| fields.part(action));
        let parts = trigger.zip(action);
        fields.finish(parts.map(|(trigger, action)| Self {
            reference,
            description,
            enabled,
            trigger,
            criteria,
            when,
            action,
        }))
    }

    /// Criteria on paths at which nothing can stand, by what is known of events and configuration.
    pub fn check_paths(&self, known: &Known) -> Vec<Diagnostic> {
        known.check(&self.criteria)
    }

    /// What the action gets, if the condition holds for the values of `frame`.
    pub(crate) fn conclude(
        &self,
        evaluator: &Evaluator,
        frame: &mut Frame<'_>,
    ) -> Result<Option<Map>, Failure> {
        if let Some(when) = &self.when
            && !when.holds(evaluator, frame)?
        {
            return Ok(None);
        }
        self.action.parameters.render(evaluator.interpreter(), frame).map(Some)
    }
}

impl Trigger {
    fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let fields = Fields::new(node, &["type", "parameters"], &[]);
        let kind = fields.required("type").parsed::<TriggerType>();
        let location =
            fields.optional("type").node().map_or_else(|| node.location(), Node::location);
        let parameters = fields.optional("parameters");
        if let Some(node) = parameters.node().filter(|node| holds_template(node)) {
            let finding = node.error("trigger parameters are fixed values: `${…}` is not read");
            fields.report(finding.with_hint("select among events with criteria or `when`"));
        }
        let parameters = parameters.map().unwrap_or_default();
        let written = fields.optional("parameters").node().unwrap_or(node).clone();
        fields.finish(kind.map(|kind| Self { kind, location, parameters, written }))
    }

    /// Where the dotted `path` into the parameters stands.
    pub fn location_of(&self, path: &str) -> Location {
        self.written.location_of(path)
    }

    /// An error that points at the dotted `path` into the parameters, and shows the line.
    pub fn error_at(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        self.written.error_at(path, message)
    }

    /// Everything about the parameters that does not fit the trigger type's `schema`.
    pub fn check(&self, schema: &Schema) -> Vec<Diagnostic> {
        let value = model::Value::Object(self.parameters.clone());
        let tell = |violation: model::Violation| {
            let finding = self.written.error_at(&violation.path, violation.message);
            match violation.hint {
                Some(hint) => finding.with_hint(hint),
                None => finding,
            }
        };
        schema.violations(&value).into_iter().map(tell).collect()
    }
}

impl Action {
    fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let fields = Fields::new(node, &["ref", "parameters"], &[]);
        let reference = fields.required("ref").parsed::<ActionRef>();
        let written = fields.optional("ref").node().unwrap_or(node).clone();
        let parameters = match fields.optional("parameters").node() {
            Some(node) => fields.part(Parameters::parse(node)),
            None => Some(Parameters::none()),
        };
        let parts = reference.zip(parameters);
        fields.finish(parts.map(|(reference, parameters)| Self {
            reference,
            location: written.location(),
            parameters,
            written,
        }))
    }

    /// An error that points at the action's name, and shows the line.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.written.error(message)
    }

    /// Everything about the parameters that does not fit the action's `schema`, as far as it can
    /// be known without an event: unknown and missing names, and literals of the wrong kind.
    pub fn check(&self, schema: &Schema) -> Vec<Diagnostic> {
        self.parameters.check(schema, &|message| self.written.error(message))
    }
}
