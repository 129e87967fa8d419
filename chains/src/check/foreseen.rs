//! What a program's calls of actions are given, as far as its text tells: through variables that
//! are declared once, and into maps, lists and texts of which parts are computed.

use std::collections::{BTreeMap, BTreeSet};

use model::{Foreseen, Location};
use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::actions::call;
use super::captures::changed;
use super::shapes::closure;
use super::variables::bound;
use super::{Text, literal};
use crate::compiled::location;

/// How deep a value is followed: what is deeper is computed.
const MAX_DEPTH: usize = 32;
/// Methods that leave what they are called on as it is.
const READING: [&str; 20] = [
    "all",
    "call",
    "contains",
    "filter",
    "find",
    "get",
    "index_of",
    "is_empty",
    "keys",
    "len",
    "map",
    "reduce",
    "some",
    "split",
    "starts_with",
    "ends_with",
    "sub_string",
    "to_json",
    "to_string",
    "values",
];
/// Functions that change their first argument.
const CHANGING: [&str; 12] = [
    "append",
    "clear",
    "drain",
    "fill_with",
    "insert",
    "mixin",
    "pad",
    "push",
    "remove",
    "retain",
    "set",
    "splice",
];

/// A call of an action, by `run` or `poll`.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeseenCall {
    /// The action's name.
    pub action: Foreseen,
    /// Where it is called.
    pub at: Location,
    /// What it is given.
    pub parameters: Foreseen,
}

/// Every call of an action in a program's file.
pub(super) fn calls(text: &Text<'_>) -> Vec<ForeseenCall> {
    let variables = Declared::of(text);
    let mut found = Vec::new();
    text.walk(|path| {
        let Some((call, position)) = call(path) else { return };
        if matches!(call.name.as_str(), "run" | "poll") {
            found.extend(variables.call(text, call, position));
        }
    });
    found
}

/// Variables that are declared once under their name, and what is done to them afterwards.
struct Declared {
    values: BTreeMap<String, Expr>,
    /// Keys that are written to; the empty one: anything may have been.
    changes: BTreeMap<String, BTreeSet<String>>,
}

impl Declared {
    fn of(text: &Text<'_>) -> Self {
        let (mut values, mut several) = (BTreeMap::new(), names_of_others(text));
        let mut changes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        text.walk(|path| {
            if let Some(ASTNode::Stmt(Stmt::Var(variable, ..))) = path.last() {
                let name = variable.0.name.to_string();
                if values.insert(name.clone(), variable.1.clone()).is_some() {
                    several.insert(name);
                }
            }
            if let Some((name, key)) = path.last().and_then(change) {
                changes.entry(name.to_owned()).or_default().insert(key.to_owned());
            }
        });
        values.retain(|name, _| !several.contains(name));
        Self { values, changes }
    }

    fn call(&self, text: &Text<'_>, call: &FnCallExpr, position: Position) -> Option<ForeseenCall> {
        let action = self.value(call.args.first()?, 0);
        let parameters = call.args.get(1).map(|given| self.value(given, 0));
        let nothing = || Foreseen::Map(BTreeMap::new());
        Some(ForeseenCall {
            action,
            at: location(text.file, position),
            parameters: parameters.unwrap_or_else(nothing),
        })
    }

    fn value(&self, expression: &Expr, depth: usize) -> Foreseen {
        if depth > MAX_DEPTH {
            return Foreseen::Computed;
        }
        let deeper = |inner: &Expr| self.value(inner, depth + 1);
        match expression {
            Expr::Map(entries, _) => {
                let entries = entries.0.iter();
                Foreseen::Map(entries.map(|(key, it)| (key.name.to_string(), deeper(it))).collect())
            }
            Expr::Array(items, _) => Foreseen::List(items.iter().map(deeper).collect()),
            Expr::InterpolatedString(parts, _) => {
                let known = |part: &Expr| deeper(part).text().map(ToOwned::to_owned);
                Foreseen::Text(parts.iter().map(known).collect())
            }
            Expr::Variable(variable, ..) => self.variable(variable.1.as_str(), depth),
            other => literal::value(other).map_or(Foreseen::Computed, Foreseen::from),
        }
    }

    fn variable(&self, name: &str, depth: usize) -> Foreseen {
        let Some(declared) = self.values.get(name) else { return Foreseen::Computed };
        let mut value = self.value(declared, depth + 1);
        for key in self.changes.get(name).into_iter().flatten() {
            match &mut value {
                Foreseen::Map(entries) if !key.is_empty() => {
                    entries.insert(key.clone(), Foreseen::Computed);
                }
                other => *other = Foreseen::Computed,
            }
        }
        value
    }
}

/// The variable that a node changes, and below which of its keys.
fn change<'a>(node: &ASTNode<'a>) -> Option<(&'a str, &'a str)> {
    match node {
        ASTNode::Stmt(Stmt::Assignment(assignment)) => target(&assignment.1.lhs),
        ASTNode::Expr(dot @ Expr::Dot(parts, ..)) => {
            method(&parts.rhs).filter(|name| !READING.contains(name)).and_then(|_| target(dot))
        }
        ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)) => {
            CHANGING.contains(&call.name.as_str()).then(|| target(call.args.first()?))?
        }
        _ => None,
    }
}

/// A variable and the first key of a way into it.
fn target(expression: &Expr) -> Option<(&str, &str)> {
    match expression {
        Expr::Variable(variable, ..) => Some((variable.1.as_str(), "")),
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => {
            let name = changed(&parts.lhs)?;
            let dot = matches!(expression, Expr::Dot(..));
            Some((name, key(&parts.rhs, dot).unwrap_or_default()))
        }
        _ => None,
    }
}

/// The key that comes first, where it is written out.
fn key(rest: &Expr, dot: bool) -> Option<&str> {
    match rest {
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => key(&parts.lhs, dot),
        Expr::Property(property, _) if dot => Some(property.2.as_str()),
        Expr::StringConstant(key, _) if !dot => Some(key.as_str()),
        _ => None,
    }
}

/// The method that a way ends with.
fn method(rest: &Expr) -> Option<&str> {
    match rest {
        Expr::MethodCall(call, _) => Some(call.name.as_str()),
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => method(&parts.rhs),
        _ => None,
    }
}

/// Names that stand for something else besides: parameters, loops' variables, caught errors. What a
/// closure captures is one of its parameters, and the same variable.
fn names_of_others(text: &Text<'_>) -> BTreeSet<String> {
    let (mut names, mut captured) = (bound(text), BTreeSet::new());
    text.walk(|path| {
        if let Some(ASTNode::Expr(node @ Expr::Stmt(_))) = path.last() {
            let own = closure(node).into_iter();
            captured.extend(own.flat_map(|closure| {
                let function = closure.function.fn_name().to_owned();
                closure.captured.into_iter().map(move |name| (function.clone(), name))
            }));
        }
    });
    for function in text.ast.iter_fn_def() {
        let own = function.params.iter().map(ToString::to_string);
        names.extend(
            own.filter(|name| !captured.contains(&(function.name.to_string(), name.clone()))),
        );
    }
    names
}
