//! Single parameters out of a map that fits its schema, with errors that name them.

use std::fmt::Display;
use std::str::FromStr;

use model::{Map, Value};

use crate::BuildError;

/// The text of a parameter that must be there.
pub(crate) fn text<'a>(parameters: &'a Map, path: &str) -> Result<&'a str, BuildError> {
    let missing = || BuildError::at(path, format!("missing parameter `{path}`"));
    find(parameters, path).and_then(Value::as_str).ok_or_else(missing)
}

/// What the text of a parameter means, where it is given.
pub(crate) fn optional<T>(parameters: &Map, path: &str) -> Result<Option<T>, BuildError>
where
    T: FromStr<Err: Display>,
{
    match find(parameters, path) {
        Some(_) => parsed(parameters, path).map(Some),
        None => Ok(None),
    }
}

/// What the text of a parameter means.
pub(crate) fn parsed<T>(parameters: &Map, path: &str) -> Result<T, BuildError>
where
    T: FromStr<Err: Display>,
{
    let wrong = |error: T::Err| BuildError::at(path, format!("`{path}`: {error}"));
    text(parameters, path)?.parse().map_err(wrong)
}

/// What stands at a dotted path.
pub(crate) fn find<'a>(parameters: &'a Map, path: &str) -> Option<&'a Value> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let step = |value: &'a Value, name: &str| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => value.get(name),
    };
    rest.split('.').filter(|name| !name.is_empty()).try_fold(parameters.get(first)?, step)
}
