//! What can be wrong with an expression, and rhai's errors in our words.

use std::collections::BTreeMap;

use model::diagnostic::suggest;
use rhai::{EvalAltResult, FnCallExpr, LexError, ParseError, ParseErrorType, Position};

/// An expression that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadExpression {
    /// What is wrong.
    pub message: String,
    /// Line in the text, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What to do.
    pub hint: Option<String>,
}

/// An evaluation that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failed {
    /// What went wrong.
    pub message: String,
    /// Line in the expression, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl BadExpression {
    fn new(message: String, at: Position) -> Self {
        Self {
            message,
            line: at.line().unwrap_or(1),
            column: at.position().unwrap_or(1).max(1),
            hint: None,
        }
    }
}

impl Failed {
    pub(crate) fn whole(message: String) -> Self {
        Self { message, line: 1, column: 1 }
    }

    pub(crate) fn from_rhai(error: EvalAltResult) -> Self {
        let mut error = error;
        while let EvalAltResult::ErrorInFunctionCall(_, _, inner, _) = error {
            error = *inner;
        }
        let at = error.take_position();
        Self {
            message: spoken(&error),
            line: at.line().unwrap_or(1),
            column: at.position().unwrap_or(1).max(1),
        }
    }
}

/// rhai's error in our words, without its place.
pub fn spoken(error: &EvalAltResult) -> String {
    match error {
        EvalAltResult::ErrorPropertyNotFound(name, _) => {
            format!(
                "missing property `{name}`: use get(…, \"{name}\", default) where it may be absent"
            )
        }
        EvalAltResult::ErrorDotExpr(text, _) => match text.split('\'').collect::<Vec<_>>()[..] {
            [_, name, _, "()", ..] => format!("`{name}` of null: use `??` where it may be null"),
            [_, name, _, kind, ..] => {
                format!("`{name}` of {}, which has no properties", kind_of(kind))
            }
            _ => text.clone(),
        },
        EvalAltResult::ErrorRuntime(text, _) if text.is_string() => text.to_string(),
        EvalAltResult::ErrorNonPureMethodCallOnConstant(name, _) => {
            format!("`{name}` would change an event: an expression only reads")
        }
        EvalAltResult::ErrorTooManyOperations(_) | EvalAltResult::ErrorTerminated(..) => {
            "the expression takes too long: it is for small decisions".to_owned()
        }
        other => other.to_string(),
    }
}

/// rhai's name of a type in our words.
fn kind_of(name: &str) -> &str {
    match name {
        "i64" => "a whole number",
        "f64" => "a number",
        "bool" => "true or false",
        "string" => "a string",
        "array" => "a list",
        _ => "a value",
    }
}

/// A syntax error in our words; `names` are those in scope.
pub(crate) fn describe(error: &ParseError, names: &[&str]) -> BadExpression {
    let (message, hint) = match &*error.0 {
        ParseErrorType::VariableUndefined(name) => {
            let known = names.join(", ");
            let hint = match suggest(name, names.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here: {known}; a text stands in quotes"),
            };
            (format!("`{name}` is not known here"), Some(hint))
        }
        ParseErrorType::UnexpectedEOF => {
            let hint = "a value or a closing bracket is missing at its end";
            ("the expression is incomplete".to_owned(), Some(hint.to_owned()))
        }
        ParseErrorType::BadInput(LexError::UnexpectedInput(found)) => {
            let hint = match found.as_str() {
                "=" => "`==` compares",
                "and" | "or" | "not" => "write `&&`, `||`, `!`",
                _ => "one expression may stand here, no statements",
            };
            (format!("unexpected `{found}`"), Some(hint.to_owned()))
        }
        ParseErrorType::BadInput(LexError::UnterminatedString) => {
            let hint = "close the text; in YAML ` #` begins a comment, unless the whole is quoted";
            ("a text has no closing quote".to_owned(), Some(hint.to_owned()))
        }
        ParseErrorType::BadInput(LexError::MalformedChar(text)) => {
            (format!("'{text}' is not a text"), Some("texts stand in double quotes".to_owned()))
        }
        other => (other.to_string(), None),
    };
    BadExpression { hint, ..BadExpression::new(message, error.1) }
}

/// A call to a function that does not exist.
pub(crate) fn unknown_function<T>(
    call: &FnCallExpr,
    at: Position,
    known: &BTreeMap<String, T>,
) -> BadExpression {
    let name = call.name.as_str();
    let plain = known.keys().map(String::as_str).filter(|name| !name.contains('$'));
    let hint = match suggest(name, plain) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            "here are `get`, `now` and what rhai has for texts, numbers, lists and maps".to_owned()
        }
    };
    let message = format!("unknown function `{name}`");
    BadExpression { hint: Some(hint), ..BadExpression::new(message, at) }
}

/// A call with a number of parameters that the function does not take.
pub(crate) fn miscounted(
    call: &FnCallExpr,
    at: Position,
    counts: impl Iterator<Item = usize>,
) -> BadExpression {
    let counts: Vec<String> = counts.map(|count| count.to_string()).collect();
    let (name, found) = (&call.name, call.args.len());
    let message = format!("`{name}` takes {} parameters, not {found}", counts.join(" or "));
    BadExpression::new(message, at)
}
