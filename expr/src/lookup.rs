//! `get(value, "a.b", default)`, `parse_json` and `to_json`.

use model::json::Unread;
use rhai::{Dynamic, EvalAltResult, ImmutableString, Map, Module};

use crate::json::{to_dynamic, to_value};

type Answer<T> = Result<T, Box<EvalAltResult>>;

pub(crate) fn register(module: &mut Module) {
    module.set_native_fn(
        "get",
        |value: Dynamic, path: ImmutableString, default: Dynamic| -> Answer<Dynamic> {
            Ok(at(value, &path).unwrap_or(default))
        },
    );
    let get = |value: Dynamic, path: &str| -> Answer<Dynamic> {
        Ok(at(value, path).unwrap_or(Dynamic::UNIT))
    };
    module.set_native_fn("get", move |map: Map, path: ImmutableString| get(map.into(), &path));
    module.set_native_fn("get", move |(): (), path: ImmutableString| get(Dynamic::UNIT, &path));
    module.set_native_fn("parse_json", |text: ImmutableString| -> Answer<Dynamic> {
        let value = model::json::read(text.as_bytes()).map_err(|error| match error {
            Unread::Json(error) => format!("the text is not JSON: {error}"),
            Unread::Number(number) => format!("the text cannot be read: {number}"),
        })?;
        Ok(to_dynamic(&value).map_err(|error| error.to_string())?)
    });
    module.set_native_fn("to_json", |value: Dynamic| write_json(&value));
    module.set_native_fn("to_json", |map: Map| write_json(&map.into()));
}

fn write_json(value: &Dynamic) -> Answer<ImmutableString> {
    let value = to_value(value).map_err(|error| error.to_string())?;
    Ok(value.to_string().into())
}

/// What stands at `path` in `value`. At each map the whole rest of the path is tried as a key
/// first, so that keys with dots, as Kubernetes labels have them, can be named.
fn at(value: Dynamic, path: &str) -> Option<Dynamic> {
    if path.is_empty() {
        return Some(value);
    }
    if let Some(rest) = path.strip_prefix('[') {
        let (index, rest) = bracket(rest)?;
        return at(step(&value, index)?, rest.strip_prefix('.').unwrap_or(rest));
    }
    if let Some(found) = step(&value, Key::Name(path)) {
        return Some(found);
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    at(step(&value, Key::Name(name))?, rest.strip_prefix('.').unwrap_or(rest))
}

#[derive(Clone, Copy)]
enum Key<'a> {
    Name(&'a str),
    Index(usize),
}

/// The inside of a bracket and what follows it: `0]…` or `"key"]…`.
fn bracket(text: &str) -> Option<(Key<'_>, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, rest) = quoted.split_once("\"]")?;
        return Some((Key::Name(name), rest));
    }
    let (index, rest) = text.split_once(']')?;
    Some((Key::Index(index.parse().ok()?), rest))
}

fn step(value: &Dynamic, key: Key<'_>) -> Option<Dynamic> {
    match key {
        Key::Name(name) => value.as_map_ref().ok()?.get(name).cloned(),
        Key::Index(index) => value.as_array_ref().ok()?.get(index).cloned(),
    }
}
