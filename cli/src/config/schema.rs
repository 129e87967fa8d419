//! The JSON Schema of `tripline.yaml`, made of the table of its keys.

use model::{Map, Value};
use serde_json::json;

use super::keys::{KEYS, Key, Kind};

/// The schema, for editors.
pub(crate) fn schema() -> Value {
    let mut properties = Map::new();
    for key in KEYS {
        match key.place() {
            (None, name) => {
                properties.insert(name.to_owned(), property(key));
            }
            (Some(group), name) => {
                let group = properties.entry(group).or_insert_with(
                    || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
                );
                group["properties"][name] = property(key);
            }
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tripline.yaml",
        "description": "Settings of a server. Relative paths start from this file's folder.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(key: &Key) -> Value {
    let mut property = match key.kind {
        Kind::Address => json!({ "type": "string", "pattern": "^.+:[0-9]+$" }),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Url => json!({ "type": "string", "pattern": "^https?://." }),
        Kind::Path | Kind::Text => json!({ "type": "string" }),
        Kind::Paths | Kind::Names => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Count(max) => json!({ "type": "integer", "minimum": 1, "maximum": max }),
        Kind::Folders => json!({ "type": ["boolean", "array"], "items": { "type": "string" } }),
        Kind::Time => json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w))+$" }),
        Kind::Bytes => {
            json!({ "type": ["string", "integer"], "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)?$", "minimum": 0 })
        }
        Kind::Keys => {
            let text = json!({ "type": "string" });
            let form = |name: &str, value: &Value| json!({ "type": "object", "additionalProperties": false, "required": [name], "properties": { name: value } });
            let words = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
            let forms = [form("file", &text), form("env", &text), form("command", &words)];
            json!({ "type": "array", "items": { "oneOf": forms } })
        }
        Kind::Ages => {
            let time = json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w))+$" });
            let ages = json!({ "events": time, "executions": time });
            json!({
                "type": "object",
                "additionalProperties": {
                    "type": "object", "additionalProperties": false, "properties": ages
                },
            })
        }
        Kind::Word(words) => json!({ "enum": words }),
    };
    property["description"] = format!("{} Variable: {}.", key.about, key.variable()).into();
    if let Some(default) = key.default {
        property["default"] = match key.kind {
            Kind::Paths => json!([default]),
            Kind::Count(_) | Kind::Folders => default.parse().unwrap_or_else(|_| default.into()),
            _ => default.into(),
        };
    }
    property
}
