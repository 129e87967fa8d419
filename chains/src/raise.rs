//! Errors on their way into a script (so that `catch` sees a map) and out of it.

use expr::{spoken, to_dynamic, to_value};
use model::value::brief;
use model::{ErrorKind, StepError, Value};
use rhai::{Dynamic, EvalAltResult, Map, Position};

/// rhai's error, boxed as rhai passes it on.
pub(crate) type Raised = Box<EvalAltResult>;

/// What a host function answers.
pub(crate) type Answer<T = Dynamic> = Result<T, Raised>;

/// The map that `catch` gets: `message`, `kind`, `action`, `attempts`, `details`.
pub(crate) fn to_map(error: &StepError) -> Map {
    let action = error.action.as_ref().map_or(Dynamic::UNIT, |a| a.to_string().into());
    Map::from([
        ("message".into(), error.message.clone().into()),
        ("kind".into(), error.kind.as_str().into()),
        ("action".into(), action),
        ("attempts".into(), i64::from(error.attempts).into()),
        // Details that rhai cannot hold are left out; the journal has them.
        ("details".into(), to_dynamic(&error.details).unwrap_or(Dynamic::UNIT)),
    ])
}

/// `error` as something a script can catch.
pub(crate) fn raise(error: &StepError) -> Raised {
    EvalAltResult::ErrorRuntime(to_map(error).into(), Position::NONE).into()
}

/// A catchable error of the chain's own making.
pub(crate) fn wrong(kind: ErrorKind, message: impl Into<String>) -> Raised {
    raise(&StepError::new(kind, message))
}

/// The error of a script that nothing caught, told in the words of the journal. Where it was
/// raised stands in its details.
pub(crate) fn uncaught(error: Raised, file: &str) -> StepError {
    let (mut error, source) = innermost(error);
    let position = error.take_position();
    // A library is known by the name it is imported under; its user knows its file.
    let library = source.filter(|source| source != file).map(|name| format!("{name}.rhai"));
    let at = shown(library.as_deref().unwrap_or(file), position);
    raised_at(told(&error, &format!(" ({at})")), at)
}

fn told(error: &EvalAltResult, place: &str) -> StepError {
    let failed = |message: String| StepError::new(ErrorKind::Failed, format!("{message}{place}"));
    match error {
        EvalAltResult::ErrorRuntime(value, _) => match from_map(value) {
            Some(error) => error,
            None => thrown(value, place),
        },
        EvalAltResult::ErrorTooManyOperations(_)
        | EvalAltResult::ErrorTooManyVariables(_)
        | EvalAltResult::ErrorTooManyModules(_)
        | EvalAltResult::ErrorStackOverflow(_)
        | EvalAltResult::ErrorDataTooLarge(..) => {
            StepError::new(ErrorKind::Limit, format!("{}{place}", too_much(error)))
        }
        other => failed(plain(&spoken(other))),
    }
}

/// The same error with its place, beside the details it has.
fn raised_at(mut error: StepError, at: String) -> StepError {
    match &mut error.details {
        Value::Null => error.details = serde_json::json!({ "at": at }),
        Value::Object(details) => {
            details.entry("at").or_insert_with(|| at.into());
        }
        _ => {}
    }
    error
}

/// Whether this error says that a bound was reached. Wrapped in the error of a closure, rhai would
/// let a script catch it.
pub(crate) fn is_limit(error: &EvalAltResult) -> bool {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _)
        | EvalAltResult::ErrorInModule(_, inner, _) => is_limit(inner),
        EvalAltResult::ErrorTooManyOperations(_)
        | EvalAltResult::ErrorTooManyVariables(_)
        | EvalAltResult::ErrorTooManyModules(_)
        | EvalAltResult::ErrorStackOverflow(_)
        | EvalAltResult::ErrorDataTooLarge(..) => true,
        _ => false,
    }
}

fn too_much(error: &EvalAltResult) -> String {
    match error {
        EvalAltResult::ErrorStackOverflow(_) => "functions call one another too deep".to_owned(),
        EvalAltResult::ErrorTooManyVariables(_) => "too many variables".to_owned(),
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            format!("a value is larger than a chain may hold: {}", what.to_lowercase())
        }
        other => plain(&other.to_string()),
    }
}

/// The cause inside errors of function calls and modules, and the file it happened in.
fn innermost(error: Raised) -> (Raised, Option<String>) {
    let mut source = None;
    let mut error = error;
    loop {
        match *error {
            EvalAltResult::ErrorInFunctionCall(_, file, inner, _) => {
                source = Some(file).filter(|file| !file.is_empty()).or(source);
                error = inner;
            }
            EvalAltResult::ErrorInModule(_, inner, _) => error = inner,
            other => return (Box::new(other), source),
        }
    }
}

fn shown(file: &str, position: Position) -> String {
    match (position.line(), position.position()) {
        (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
        (Some(line), None) => format!("{file}:{line}"),
        _ => file.to_owned(),
    }
}

/// A step's error that the script threw on, or made to look like one.
fn from_map(value: &Dynamic) -> Option<StepError> {
    let map = value.as_map_ref().ok()?;
    let text = |name: &str| map.get(name)?.clone().into_string().ok();
    let kind = ErrorKind::parse(&text("kind")?)?;
    let attempts = map.get("attempts").and_then(|n| n.as_int().ok());
    Some(StepError {
        message: text("message")?,
        kind: if kind.is_catchable() { kind } else { ErrorKind::Failed },
        action: text("action").and_then(|action| action.parse().ok()),
        attempts: attempts.and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        details: map.get("details").and_then(|d| to_value(d).ok()).unwrap_or(Value::Null),
    })
}

/// `throw` of anything else.
fn thrown(value: &Dynamic, place: &str) -> StepError {
    let told = || plain(&value.to_string().chars().take(200).collect::<String>());
    let json = to_value(value).unwrap_or_else(|_| Value::from(told()));
    let (message, details) = match &json {
        Value::String(text) => (text.clone(), Value::Null),
        Value::Null => ("the chain threw an error without a message".to_owned(), Value::Null),
        Value::Object(map) if map.get("message").is_some_and(Value::is_string) => {
            (map["message"].as_str().unwrap_or_default().to_owned(), json.clone())
        }
        other => (brief(other, 200), json.clone()),
    };
    StepError::new(ErrorKind::Failed, format!("{message}{place}")).with_details(details)
}

/// rhai's words without the names it gives to closures and its list of string types.
fn plain(message: &str) -> String {
    let message = message.replace("&str | ImmutableString | String", "string");
    let mut parts = message.split("anon$");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, rest| {
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        text + "a closure" + rest
    })
}
