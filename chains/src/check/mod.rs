//! What can be said of a program before it runs.
//!
//! The program is read again without rhai's rewriting and walked node by node, with the nodes
//! around each; closures are functions of their own there. Everything found is certain or nearly
//! so: what depends on values is left to the run.

mod actions;
mod captures;
mod foreseen;
mod functions;
mod literal;
mod params;
mod shapes;
mod undo;
mod variables;

use std::rc::Rc;

use model::{ActionRef, Diagnostic, Effect, Location, Schema, TriggerType, Value};
use rhai::{AST, ASTNode, Engine, OptimizationLevel, Position};

pub use self::foreseen::ForeseenCall;
use crate::calls;
use crate::compiled::location;
use crate::host::Host;
use crate::program::{Program, Source};

/// What a check knows of actions.
pub trait Catalog {
    /// The action's parameters and effect; none where nothing is known of it.
    fn get(&self, action: &ActionRef) -> Option<Signature>;

    /// Every action's name, also of those of which nothing is known since their file is wrong.
    fn names(&self) -> Vec<String>;

    /// What the data of such an event must be; none where nothing is known of the type.
    fn payload(&self, kind: &TriggerType) -> Option<Schema>;

    /// Every trigger type's name, also of those of which nothing is known.
    fn trigger_types(&self) -> Vec<String>;

    /// Why the chain may not emit such an event, and what to do about it.
    fn not_emitted(&self, kind: &TriggerType) -> Option<(String, String)>;
}

/// What a call of an action must fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// Its parameters.
    pub parameters: Schema,
    /// What performing it twice would do, where that does not depend on its parameters.
    pub effect: Option<Effect>,
}

/// Everything in `program`, a chain with these `parameters`, that will fail or surprise, libraries
/// included.
pub fn check(program: &Program, parameters: &Schema, catalog: &dyn Catalog) -> Vec<Diagnostic> {
    let source = program.source();
    let engine = reader();
    let mut found: Vec<Diagnostic> = texts(&engine, source)
        .iter()
        .flat_map(|text| {
            let mut findings = functions::check(&engine, source, text);
            findings.extend(captures::check(text));
            findings.extend(actions::check(text, catalog));
            findings.extend(shapes::check(text));
            if text.file == source.file {
                findings.extend(params::check(text, parameters));
            }
            findings.extend(undo::check(text, catalog));
            findings
        })
        .collect();
    found.sort_by(|a, b| (&a.at, &a.message).cmp(&(&b.at, &b.message)));
    found.dedup();
    found
}

/// A call of an action that `program` names in plain text; `secret(path)` is one, too.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedCall {
    /// The action.
    pub action: ActionRef,
    /// Where it is named.
    pub at: Location,
    /// The parameters that are written out, with their places.
    pub parameters: Vec<(String, Written, Location)>,
}

/// What a program's text says of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// The whole of it.
    Value(Value),
    /// How a string begins; the rest is computed.
    Beginning(String),
    /// Nothing: it is computed.
    Computed,
}

/// The calls of actions that `program` names in plain text.
pub fn calls_named(program: &Program) -> Vec<NamedCall> {
    let engine = reader();
    texts(&engine, program.source()).iter().flat_map(actions::named).collect()
}

/// Every call of an action that `program` makes, with what is known of its parameters.
pub fn calls_foreseen(program: &Program) -> Vec<ForeseenCall> {
    let engine = reader();
    texts(&engine, program.source()).iter().flat_map(foreseen::calls).collect()
}

/// One file of a program, as it was written.
pub(crate) struct Text<'a> {
    file: &'a str,
    content: &'a str,
    ast: AST,
}

impl Text<'_> {
    fn error(&self, position: Position, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(location(self.file, position), message).in_text(self.content)
    }

    /// Calls `look` on every node with the nodes around it, outermost first.
    fn walk(&self, mut look: impl FnMut(&[ASTNode<'_>])) {
        self.ast.walk(&mut |path: &[ASTNode<'_>]| {
            look(path);
            true
        });
    }

    /// The same in the functions of this name alone.
    fn walk_function(&self, name: &str, mut look: impl FnMut(&[ASTNode<'_>])) {
        let mut alone = self.ast.clone_functions_only();
        alone.retain_functions(|_, _, own, _| own == name);
        alone.walk(&mut |path: &[ASTNode<'_>]| {
            look(path);
            true
        });
    }
}

/// Reads programs as they are written: rhai's rewriting would hide some of it.
fn reader() -> Engine {
    let mut engine = calls::engine(&Rc::new(Host::default()));
    engine.set_optimization_level(OptimizationLevel::None);
    engine
}

fn texts<'a>(engine: &Engine, source: &'a Source) -> Vec<Text<'a>> {
    let libs = source.libs.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let all = [(source.file.as_str(), source.text.as_str())].into_iter().chain(libs);
    // A program has compiled before; a file that is refused now has nothing to check.
    all.filter_map(|(file, content)| {
        let ast = engine.compile(content).ok()?;
        Some(Text { file, content, ast })
    })
    .collect()
}

/// The finding with a hint, where there is one.
fn hinted(finding: Diagnostic, hint: Option<String>) -> Diagnostic {
    match hint {
        Some(hint) => finding.with_hint(hint),
        None => finding,
    }
}

/// `did you mean …?`, where a known name is near.
fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    model::diagnostic::suggest(name, known).map(|known| format!("did you mean `{known}`?"))
}
