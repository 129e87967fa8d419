//! An object's conditions: by their type, and what says whether they changed.

use model::{Map, Value};
use serde_json::json;

/// An object's conditions by their type.
pub(super) fn of(object: &Value) -> Map {
    let all = object.pointer("/status/conditions").and_then(Value::as_array);
    let named = all
        .into_iter()
        .flatten()
        .filter_map(|condition| Some((condition["type"].as_str()?.to_owned(), condition.clone())));
    named.collect()
}

/// Their status and reason alone; none: it has no condition.
pub(super) fn outline(object: &Value) -> Option<Value> {
    let outlined = of(object).into_iter().map(|(kind, condition)| {
        (kind, json!({ "status": condition["status"], "reason": condition["reason"] }))
    });
    let outlined: Map = outlined.collect();
    (!outlined.is_empty()).then_some(Value::Object(outlined))
}
