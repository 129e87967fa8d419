//! Where paths lead in what a schema describes: names that nothing can ever have.

use crate::{Map, Schema, Value};

/// Words of JSON Schema that say more of a value's parts than is read here.
const OPEN: [&str; 9] = [
    "$ref",
    "$dynamicRef",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "dependentSchemas",
    "patternProperties",
    "prefixItems",
];

/// Why no value can stand at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nowhere {
    /// How many of the path's names lead somewhere.
    pub depth: usize,
    /// What stands there.
    pub found: Found,
}

/// What a path cannot go on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A map that has other names, and no more.
    Names(Vec<String>),
    /// A list, whose items have numbers.
    List,
    /// A value without parts, of this type.
    Scalar(String),
}

impl Schema {
    /// The schema as that of one value: a map of its properties and no more.
    pub fn as_value(&self) -> Map {
        Map::from_iter([
            ("type".to_owned(), Value::from("object")),
            ("properties".to_owned(), Value::Object(self.properties().clone())),
            ("additionalProperties".to_owned(), Value::Bool(false)),
        ])
    }
}

/// Why nothing can stand at the path of these `names` in a value that `schema` describes; none
/// where something can, or where the schema does not tell.
pub fn nowhere(schema: &Map, names: &[&str]) -> Option<Nowhere> {
    let mut here = schema;
    for (depth, name) in names.iter().enumerate() {
        match step(here, name) {
            Ok(next) => here = next?,
            Err(found) => return Some(Nowhere { depth, found }),
        }
    }
    None
}

/// What `schema` says of the value at the path of these `names`, as far as it tells.
pub fn at<'s>(schema: &'s Map, names: &[&str]) -> Option<&'s Map> {
    names.iter().try_fold(schema, |here, name| step(here, name).ok()?)
}

/// What `schema` says of the items of a list.
pub fn items(schema: &Map) -> Option<&Map> {
    schema.get("items")?.as_object().filter(|_| !OPEN.iter().any(|word| schema.contains_key(*word)))
}

/// The schema of the part `name`, as far as it is told.
fn step<'s>(schema: &'s Map, name: &str) -> Result<Option<&'s Map>, Found> {
    if OPEN.iter().any(|word| schema.contains_key(*word)) {
        return Ok(None);
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    match schema.get("type").and_then(Value::as_str) {
        Some("array") if name.bytes().all(|byte| byte.is_ascii_digit()) => Ok(items(schema)),
        Some("array") => Err(Found::List),
        Some(kind) if kind != "object" => Err(Found::Scalar(kind.to_owned())),
        // A value of several types may be a map.
        _ => match properties.and_then(|properties| properties.get(name)) {
            Some(part) => Ok(part.as_object()),
            None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                let names = properties.map(|properties| properties.keys().cloned().collect());
                Err(Found::Names(names.unwrap_or_default()))
            }
            None => Ok(None),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_nowhere_only_where_the_schema_leaves_no_doubt() {
        let schema = json!({
            "name": { "type": "string" },
            "any": {},
            "maybe": { "type": ["object", "null"], "properties": { "a": {} } },
            "open": { "type": "object", "properties": { "a": { "type": "integer" } } },
            "closed": { "type": "object", "additionalProperties": false, "properties": { "a": {} } },
            "either": { "anyOf": [{ "type": "string" }, { "type": "object" }], "type": "string" },
            "list": { "type": "array", "items": { "type": "string" } },
        });
        let schema = Schema::compile(schema.as_object().unwrap()).unwrap().as_value();
        let scalar = |kind: &str| Found::Scalar(kind.to_owned());
        let names = |names: &[&str]| Found::Names(names.iter().map(ToString::to_string).collect());
        let top = ["any", "closed", "either", "list", "maybe", "name", "open"];
        for (path, expected) in [
            ("name", None),
            ("nam", Some((0, names(&top)))),
            ("nam.x", Some((0, names(&top)))),
            ("name.x", Some((1, scalar("string")))),
            ("any.x.y", None),
            ("maybe.b", None),
            ("open.b", None),
            ("open.a.b", Some((2, scalar("integer")))),
            ("closed.a.b", None),
            ("closed.b", Some((1, names(&["a"])))),
            ("either.x", None),
            ("list.0", None),
            ("list.0.a", Some((2, scalar("string")))),
            ("list.a", Some((1, Found::List))),
        ] {
            let found = nowhere(&schema, &path.split('.').collect::<Vec<_>>());
            let expected = expected.map(|(depth, found)| Nowhere { depth, found });
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(nowhere(&schema, &[]), None);
    }
}
