//! What conditions and templates are checked and evaluated with.

use std::fmt;

use expr::condition::{BadExpression, Expression, Failed, Frame, Interpreter};
use model::{Diagnostic, Location, Timestamp, Value};
use syntax::Node;

use crate::path::View;

/// What an expression in a rule may read.
const NAMES: [&str; 3] = ["event", "trigger", "config"];

/// Evaluates the expressions of rules; keeps what it compiled. Lives on one thread.
#[derive(Debug)]
pub struct Evaluator {
    interpreter: Interpreter,
}

/// An expression that failed on an event, and where in the rule's file it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    message: String,
    at: Location,
}

impl Default for Evaluator {
    fn default() -> Self {
        Self::new()
    }
}

impl Evaluator {
    /// An evaluator that compiled nothing yet.
    pub fn new() -> Self {
        Self { interpreter: Interpreter::new(&NAMES) }
    }

    pub(crate) fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// What expressions see of an event accepted at `now`; `config` is set for each rule.
    pub(crate) fn frame<'v>(&self, view: &'v View<'_>, now: Timestamp) -> Frame<'v> {
        self.interpreter.set_now(now);
        let mut frame = Frame::new();
        frame.set("trigger", view.trigger());
        frame.set("event", view.event());
        frame
    }
}

thread_local! {
    /// Checks the files this thread loads: setting one up costs more than a rule's file.
    static CHECKER: Evaluator = Evaluator::new();
}

/// Runs `check` with this thread's interpreter for loading.
pub(crate) fn checking<T>(check: impl FnOnce(&Interpreter) -> T) -> T {
    CHECKER.with(|evaluator| check(&evaluator.interpreter))
}

/// The finding about an expression that stands in the text of `node`.
pub(crate) fn refuse(node: &Node, error: BadExpression) -> Diagnostic {
    let finding = node.error_within(error.line, error.column, error.message);
    match error.hint {
        Some(hint) => finding.with_hint(hint),
        None => finding,
    }
}

impl Failure {
    pub(crate) fn new(what: &str, node: &Node, failed: Failed) -> Self {
        let at = node.location_within(failed.line, failed.column);
        Self { message: format!("{what}: {}", failed.message), at }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.at)
    }
}

/// A rule's `when`.
#[derive(Debug)]
pub struct Condition {
    expression: Expression,
    written: Node,
}

impl Condition {
    pub(crate) fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let Some(text) = node.as_str() else {
            return match node.to_value() {
                Value::Bool(flag) => Err(vec![
                    node.error(format!("a condition that is always {flag} decides nothing"))
                        .with_hint("leave `when` out; `enabled: false` switches a rule off"),
                ]),
                _ => Err(vec![node.error(format!(
                    "`when`: expected a condition such as `trigger.size <= 5`, found {}",
                    node.describe()
                ))]),
            };
        };
        if text.trim_start().starts_with("${") {
            let finding = node.error("`when` is an expression as it is");
            return Err(vec![finding.with_hint("write it without `${…}`")]);
        }
        let checked = checking(|interpreter| interpreter.check(text));
        let expression = checked.map_err(|error| vec![refuse(node, error)])?;
        Ok(Self { expression, written: node.clone() })
    }

    /// The condition as it was written.
    pub fn source(&self) -> &str {
        self.written.as_str().unwrap_or_default()
    }

    pub(crate) fn holds(
        &self,
        evaluator: &Evaluator,
        frame: &mut Frame<'_>,
    ) -> Result<bool, Failure> {
        let fail = |failed| Failure::new("when", &self.written, failed);
        match evaluator.interpreter.evaluate(&self.expression, frame).map_err(fail)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(Failure {
                message: format!(
                    "when: the condition gives {}, not true or false",
                    model::value::kind_of(&other)
                ),
                at: self.written.location(),
            }),
        }
    }
}
