//! Arguments of the wrong kind, as far as the text shows it: a text where a closure belongs, a
//! closure that takes another number of arguments than it will be called with, and what the
//! condition of `poll` may not call.
//!
//! A handler is called long after it was registered, when the chain fails: a wrong one must not be
//! found only then.

use model::Diagnostic;
use model::value::kind_of;
use rhai::{ASTNode, Expr, FnCallExpr, FnPtr, Stmt};

use super::actions::call;
use super::variables::Variables;
use super::{Text, literal};
use crate::calls::{closure_takes, is_journaled};

/// What an argument must be.
#[derive(Clone, Copy)]
enum Shape {
    Text(&'static str),
    Map(&'static str),
    List,
    /// A closure, and the names it may give its parameters.
    Closure(&'static [&'static str]),
    Closures,
}

/// What the arguments of each function are called, in their order.
const SHAPES: [(&str, &[Shape]); 8] = [
    ("undo", &[Shape::Closure(&["error"])]),
    ("on_exit", &[Shape::Closure(&["outcome"])]),
    ("parallel", &[Shape::Closures]),
    ("parallel_map", &[Shape::List, Shape::Closure(&["item"]), Shape::Map("the options")]),
    ("run", &[Shape::Text("the action"), Shape::Map("the parameters"), Shape::Map("the options")]),
    (
        "poll",
        &[
            Shape::Text("the action"),
            Shape::Map("the parameters"),
            Shape::Closure(&["answer"]),
            Shape::Map("the options"),
        ],
    ),
    ("continue_as", &[Shape::Map("the parameters")]),
    ("secret", &[Shape::Text("the path")]),
];

/// Arguments that their function will refuse, and calls that a condition cannot make.
pub(super) fn check(text: &Text<'_>) -> Vec<Diagnostic> {
    let variables = Variables::of(text);
    let mut found = Vec::new();
    text.walk(|path| {
        let Some((call, _)) = call(path) else { return };
        let Some((name, shapes)) = SHAPES.iter().find(|(name, _)| call.name == *name) else {
            return;
        };
        for (argument, shape) in call.args.iter().zip(*shapes) {
            found.extend(misfit(text, &variables, name, argument, *shape));
        }
        found.extend(in_condition(text, call));
    });
    found
}

fn misfit(
    text: &Text<'_>,
    variables: &Variables,
    name: &str,
    argument: &Expr,
    shape: Shape,
) -> Vec<Diagnostic> {
    let at = argument.position();
    let needs = |what: &str, found: String| {
        let message = format!("`{name}` needs {what}, found {found}");
        text.error(at, message)
    };
    let argument = match shape {
        Shape::Closure(_) | Shape::Closures => variables.resolved(argument),
        Shape::Text(_) | Shape::Map(_) | Shape::List => argument,
    };
    let found = || kind(argument);
    let wrong = match shape {
        Shape::Text(what) => found().filter(|kind| kind != "a string").map(|kind| {
            needs(&format!("{what} as a string"), kind).with_hint("write it in quotes")
        }),
        Shape::Map(what) => {
            found().filter(|kind| !["a map", "null"].contains(&kind.as_str())).map(|kind| {
                needs(&format!("{what} as a map"), kind).with_hint("write it as `#{ name: value }`")
            })
        }
        Shape::List => found()
            .filter(|kind| kind != "a list")
            .map(|kind| needs("a list", kind).with_hint("write it as `[one, two]`")),
        Shape::Closure(parameters) => match closure(argument) {
            Some(closure) => wrong_number(text, name, &closure, parameters)
                .map(|(message, hint)| text.error(at, message).with_hint(hint)),
            None => found()
                .or_else(|| answer(argument))
                .map(|kind| needs("a closure", kind).with_hint(written(parameters))),
        },
        Shape::Closures => match argument {
            Expr::Array(items, _) => {
                return items
                    .iter()
                    .flat_map(|item| misfit(text, variables, name, item, Shape::Closure(&[])))
                    .collect();
            }
            _ => found().map(|kind| {
                needs("a list of closures", kind).with_hint("write `[|| run(…), || run(…)]`")
            }),
        },
    };
    wrong.into_iter().collect()
}

/// What an argument is, where its text shows it.
fn kind(argument: &Expr) -> Option<String> {
    match argument {
        Expr::InterpolatedString(..) => Some("a string".to_owned()),
        Expr::Array(..) => Some("a list".to_owned()),
        _ if closure(argument).is_some() => Some("a closure".to_owned()),
        _ => literal::value(argument).map(|value| kind_of(&value).to_owned()),
    }
}

/// What a call gives that is made at once: `parallel([run(…)])`.
fn answer(argument: &Expr) -> Option<String> {
    match argument {
        Expr::FnCall(call, _) if is_journaled(&call.name) => {
            Some(format!("what `{}` gives", call.name))
        }
        _ => None,
    }
}

/// A closure that is written out, and the variables it captures: they are its first parameters.
pub(super) struct Closure {
    pub(super) function: FnPtr,
    pub(super) captured: Vec<String>,
}

/// The closure that an expression writes out.
pub(super) fn closure(expression: &Expr) -> Option<Closure> {
    match expression {
        Expr::DynamicConstant(value, _) => {
            Some(Closure { function: value.read_lock::<FnPtr>()?.clone(), captured: Vec::new() })
        }
        // What rhai makes of one that captures: a block that shares and curries.
        Expr::Stmt(block) => match block.statements() {
            [Stmt::Share(captured), Stmt::Expr(curried)] => match curried.as_ref() {
                Expr::FnCall(call, _) => {
                    let captured = captured.iter().map(|(name, _)| name.name.to_string()).collect();
                    Some(Closure { captured, ..closure(call.args.first()?)? })
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn wrong_number(
    text: &Text<'_>,
    name: &str,
    closure: &Closure,
    parameters: &[&str],
) -> Option<(String, String)> {
    let all = text.ast.iter_fn_def().find(|f| f.name == closure.function.fn_name())?.params.len();
    let takes =
        all.checked_sub(closure.captured.len()).filter(|takes| *takes != parameters.len())?;
    Some((closure_takes(name, takes, parameters.len()), written(parameters)))
}

fn written(parameters: &[&str]) -> String {
    format!("write `|{}| …`", parameters.join(", "))
}

/// What the condition of `poll` calls and may not, in itself and in the functions it calls.
fn in_condition(text: &Text<'_>, poll: &FnCallExpr) -> Vec<Diagnostic> {
    let condition = poll.args.get(2).filter(|_| poll.name == "poll").and_then(closure);
    let mut names = Vec::from_iter(condition.map(|c| c.function.fn_name().to_owned()));
    let (mut found, mut next) = (Vec::new(), 0);
    while let Some(name) = names.get(next).cloned() {
        next += 1;
        text.walk_function(&name, |path| {
            let called = match path.last() {
                Some(ASTNode::Expr(constant @ Expr::DynamicConstant(..))) => {
                    closure(constant).map(|inner| inner.function.fn_name().to_owned())
                }
                _ => call(path).map(|(call, _)| call.name.to_string()),
            };
            names.extend(called.filter(|called| !names.contains(called)));
            if let Some((call, at)) = call(path).filter(|(call, _)| is_journaled(&call.name)) {
                let message = format!(
                    "`{}` cannot be called in the condition of `poll`, which only looks at an answer",
                    call.name
                );
                let finding = text.error(at, message);
                found.push(finding.with_hint("call it before `poll`, or after it"));
            }
        });
    }
    found
}
