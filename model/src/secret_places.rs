//! Where a value is secret by its schema: `secret: true`, at any depth.

use crate::schema::BadSchema;
use crate::value::brief;
use crate::{Map, Schema, Value};

impl Schema {
    /// Calls `visit` with everything in `value` that stands where the schema says `secret: true`:
    /// of lists and maps there, each text and number within.
    pub fn secrets<'a>(&self, value: &'a mut Value, visit: &mut dyn FnMut(&'a mut Value)) {
        in_map(self.properties(), value, &mut String::new(), &mut |_, place| leaves(place, visit));
    }

    /// Calls `visit` with each place in `value` that the schema calls secret as a whole, and its
    /// JSON Pointer.
    pub fn secret_places(&self, value: &mut Value, visit: &mut dyn FnMut(&str, &mut Value)) {
        in_map(self.properties(), value, &mut String::new(), &mut |path, place| visit(path, place));
    }

    /// A property that is secret, or something within it.
    pub fn some_secret(&self) -> Option<&str> {
        let found = self.properties().iter().find(|(_, property)| any_secret(property));
        found.map(|(name, _)| name.as_str())
    }

    /// Whether what stands at this JSON Pointer is secret.
    pub fn is_secret(&self, pointer: &str) -> bool {
        self.towards(pointer).any(says_so)
    }

    /// Whether a message must not show what stands at this JSON Pointer: it is secret, or by its schema
    /// something within may be.
    pub(crate) fn hides(&self, pointer: &str) -> bool {
        self.is_secret(pointer) || self.towards(pointer).last().is_some_and(any_secret)
    }

    /// The schemas on the way to this JSON Pointer, as far as they are known.
    fn towards<'a>(&'a self, pointer: &'a str) -> impl Iterator<Item = &'a Value> {
        let name = |part: &str| part.replace("~1", "/").replace("~0", "~");
        let mut parts = pointer.split('/').skip(1);
        let first = parts.next().and_then(|part| self.properties().get(&name(part)));
        std::iter::successors(first, move |property| {
            let part = parts.next()?;
            let inner = property["properties"].get(name(part));
            // One of a list that the schema does not expect, as `within` takes it.
            let stray = || part.parse::<usize>().is_ok().then_some(*property);
            inner.or_else(|| property.get("items")).or_else(|| others(property)).or_else(stray)
        })
    }
}

/// Whether a value that fits this schema may be secret, or hold something secret.
fn any_secret(property: &Value) -> bool {
    says_so(property) || inner(property).any(|(_, _, schema)| any_secret(schema))
}

/// Where secrets are looked for in a value.
const VISITED: [&str; 3] = ["properties", "items", "additionalProperties"];

/// The schemas directly within a schema: the word that has them, their name or number in it where it
/// has several, and the schema. Words whose values are no schemas (`default`, `enum`) have none.
fn inner(property: &Value) -> impl Iterator<Item = (&str, String, &Value)> {
    const NAMED: [&str; 5] =
        ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
    const DATA: [&str; 4] = ["default", "enum", "const", "examples"];
    let words = property.as_object().into_iter().flatten();
    words.filter(|(word, _)| !DATA.contains(&word.as_str())).flat_map(|(word, value)| {
        let inner: Vec<(&str, String, &Value)> = match value {
            Value::Object(map) if NAMED.contains(&word.as_str()) => {
                map.iter().map(|(name, one)| (word.as_str(), format!(".{name}"), one)).collect()
            }
            Value::Object(_) => vec![(word.as_str(), String::new(), value)],
            Value::Array(all) => {
                let numbered = all.iter().enumerate();
                numbered.map(|(n, one)| (word.as_str(), format!(".{n}"), one)).collect()
            }
            _ => Vec::new(),
        };
        inner
    })
}

/// Refuses `secret` wherever it would say nothing: what stands there would be stored as it is.
pub(crate) fn check(properties: &Map) -> Result<(), BadSchema> {
    for (name, property) in properties {
        check_place(name, property, properties)?;
    }
    Ok(())
}

fn check_place(place: &str, property: &Value, all: &Map) -> Result<(), BadSchema> {
    if let Some(found) = property.get("secret").filter(|secret| !secret.is_boolean()) {
        let message = format!(
            "`{place}`: `secret: {}` is neither true nor false: write `secret: true`",
            brief(found, 40)
        );
        return Err(BadSchema { message });
    }
    if says_so(property) {
        return Ok(());
    }
    for word in ["$ref", "$dynamicRef"] {
        let Some(target) = property.get(word).and_then(Value::as_str) else { continue };
        if leads_to_secret(target, all) {
            return Err(unseen(place, &format!("{word}: {target}")));
        }
    }
    for (word, part, schema) in inner(property) {
        let visited = VISITED.contains(&word) && (word == "properties" || part.is_empty());
        if !visited && any_secret(schema) {
            return Err(unseen(place, word));
        }
        check_place(&format!("{place}.{word}{part}"), schema, all)?;
    }
    Ok(())
}

/// Whether what a reference means may hold secrets; of one that cannot be followed here it is
/// enough that there are some.
fn leads_to_secret(target: &str, all: &Map) -> bool {
    let pointer = target.strip_prefix("#/properties/");
    let names = pointer.map(|pointer| pointer.split_once('/').unwrap_or((pointer, "")));
    let found = names.and_then(|(name, rest)| {
        let property = all.get(&name.replace("~1", "/").replace("~0", "~"))?;
        if rest.is_empty() { Some(property) } else { property.pointer(&format!("/{rest}")) }
    });
    found.map_or_else(|| all.values().any(any_secret), any_secret)
}

fn unseen(place: &str, word: &str) -> BadSchema {
    let message = format!(
        "`{place}`: `secret: true` is not looked for below `{word}`: say `secret: true` of \
         `{place}` itself, or of what stands in its `properties`, `items` or `additionalProperties`"
    );
    BadSchema { message }
}

fn says_so(property: &Value) -> bool {
    property.get("secret") == Some(&Value::Bool(true))
}

/// The schema of what the properties don't name.
fn others(property: &Value) -> Option<&Value> {
    property.get("additionalProperties").filter(|others| others.is_object())
}

/// Who is told of a secret place, and its JSON Pointer.
type Visit<'v, 'a> = dyn FnMut(&str, &'a mut Value) + 'v;

fn in_map<'a>(
    properties: &Map,
    value: &'a mut Value,
    path: &mut String,
    visit: &mut Visit<'_, 'a>,
) {
    let Value::Object(map) = value else { return };
    for (name, item) in map {
        if let Some(property) = properties.get(name) {
            below(path, name, |path| within(property, item, path, visit));
        }
    }
}

/// Goes one part further down for a while.
fn below(path: &mut String, part: &str, go: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push('/');
    path.push_str(&part.replace('~', "~0").replace('/', "~1"));
    go(path);
    path.truncate(length);
}

fn within<'a>(
    property: &Value,
    value: &'a mut Value,
    path: &mut String,
    visit: &mut Visit<'_, 'a>,
) {
    if says_so(property) {
        return visit(path, value);
    }
    match value {
        Value::Object(map) => {
            let named = property.get("properties").and_then(Value::as_object);
            for (name, item) in map {
                let inner = named.and_then(|named| named.get(name)).or_else(|| others(property));
                if let Some(inner) = inner {
                    below(path, name, |path| within(inner, item, path, visit));
                }
            }
        }
        Value::Array(items) => {
            // Where no list was expected, or one less: what is secret is so in each item.
            let inner = property.get("items").unwrap_or(property);
            for (n, item) in items.iter_mut().enumerate() {
                below(path, &n.to_string(), |path| within(inner, item, path, visit));
            }
        }
        _ => {}
    }
}

fn leaves<'a>(value: &'a mut Value, visit: &mut dyn FnMut(&'a mut Value)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| leaves(item, visit)),
        Value::Object(map) => map.values_mut().for_each(|item| leaves(item, visit)),
        Value::String(_) | Value::Number(_) => visit(value),
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Schema {
        let properties = json!({
            "name": { "type": "string" },
            "password": { "type": "string", "secret": true },
            "data": { "type": "object", "additionalProperties": { "secret": true } },
            "users": { "type": "array", "items": {
                "type": "object", "properties": { "name": {}, "key": { "secret": true } } } },
            "all": { "secret": true },
        });
        Schema::compile(properties.as_object().unwrap()).unwrap()
    }

    #[test]
    fn every_secret_place_is_visited_at_any_depth() {
        let mut value = json!({
            "name": "a", "password": "b", "unknown": "c",
            "data": { "x": "d", "y": 5, "z": null },
            "users": [{ "name": "e", "key": "f" }, "g"],
            "all": [{ "h": ["i", true] }],
        });
        let mut seen = Vec::new();
        schema().secrets(&mut value, &mut |place| {
            seen.push(place.to_string());
            *place = Value::from("•");
        });
        seen.sort();
        assert_eq!(seen, ["\"b\"", "\"d\"", "\"f\"", "\"i\"", "5"]);
        assert_eq!(value["users"], json!([{ "name": "e", "key": "•" }, "g"]));
    }

    #[test]
    fn a_list_where_a_schema_expects_none_hides_what_is_secret_in_each_item() {
        let mut value = json!({
            "users": [[{ "name": "e", "key": "f" }], [[{ "key": "g" }]]],
            "data": [{ "x": "h" }],
        });
        schema().secrets(&mut value, &mut |place| *place = Value::from("•"));
        let hidden = json!({
            "users": [[{ "name": "e", "key": "•" }], [[{ "key": "•" }]]],
            "data": [{ "x": "•" }],
        });
        assert_eq!(value, hidden);
        for path in ["/users/0/0/key", "/users/1/0/0/key", "/data/0/x"] {
            assert!(schema().is_secret(path), "{path}");
        }
        assert!(!schema().is_secret("/users/0/0/name"));
    }

    #[test]
    fn each_place_that_is_secret_as_a_whole_has_a_pointer() {
        let mut value = json!({
            "password": "b",
            "data": { "x/y": 5 },
            "users": [{ "name": "e" }, { "key": { "env": "KEY" } }],
            "all": [1, 2],
        });
        let mut seen = Vec::new();
        schema().secret_places(&mut value, &mut |path, _| seen.push(path.to_owned()));
        seen.sort();
        assert_eq!(seen, ["/all", "/data/x~1y", "/password", "/users/1/key"]);
    }

    #[test]
    fn secret_is_refused_where_nobody_would_look_for_it() {
        for (property, place) in [
            (json!({ "anyOf": [{ "type": "null" }, { "type": "string", "secret": true }] }), "`p`"),
            (
                json!({ "properties": { "a": { "allOf": [{ "secret": true }] } } }),
                "`p.properties.a`",
            ),
            (json!({ "patternProperties": { "^k": { "secret": true } } }), "`p`"),
            (json!({ "prefixItems": [{ "items": { "secret": true } }] }), "`p`"),
            (json!({ "items": [{ "secret": true }] }), "`p`"),
            (json!({ "$ref": "#/properties/known" }), "`p`"),
            (json!({ "items": { "$ref": "#" } }), "`p.items`"),
            (json!({ "secret": "true" }), "`p`"),
            (json!({ "items": { "secret": "yes" } }), "`p.items`"),
            (
                json!({ "anyOf": [{ "properties": { "a": { "secret": 1 } } }] }),
                "`p.anyOf.0.properties.a`",
            ),
        ] {
            let properties = json!({ "p": property, "known": { "secret": true } });
            let Err(error) = Schema::compile(properties.as_object().unwrap()) else {
                panic!("{property} is taken")
            };
            assert!(error.message.starts_with(&format!("{place}: ")), "{}", error.message);
        }
        for property in [
            json!({ "properties": { "secret": { "type": "string" } } }),
            json!({ "default": { "secret": true }, "enum": [{ "secret": "x" }] }),
            json!({ "secret": true, "anyOf": [{ "secret": true }, { "type": "null" }] }),
            json!({ "anyOf": [{ "properties": { "secret": true } }, { "secret": false }] }),
            json!({ "$ref": "#/properties/plain" }),
        ] {
            let properties = json!({ "p": property, "plain": {}, "known": { "secret": true } });
            let compiled = Schema::compile(properties.as_object().unwrap());
            assert_eq!(compiled.err(), None, "{property}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_without_showing_what_is_secret() {
        let value = json!({ "password": 12_345_678, "users": [{ "name": 1, "key": "hidden" }, "hidden too"] });
        let token = crate::Token::random(&[1; 32]);
        for violation in schema().violations(&value) {
            let shown = format!("{violation:?}");
            assert!(!shown.contains("12345678") && !shown.contains("hidden"), "{shown}");
        }
        for name in ["tls.key", "tls/key", "tls~key"] {
            let named = json!({ name: { "type": "string", "secret": true, "minLength": 20 } });
            let schema = Schema::compile(named.as_object().unwrap()).unwrap();
            let told = format!("{:?}", schema.violations(&json!({ name: "hidden" })));
            assert!(told.contains("it is secret") && !told.contains("hidden"), "{told}");
        }
        let long = json!({ "password": { "type": "string", "secret": true, "minLength": 100 } });
        let schema = Schema::compile(long.as_object().unwrap()).unwrap();
        assert_eq!(schema.violations(&json!({ "password": token.as_str() })), []);
        assert_eq!(schema.violations(&json!({ "password": "short one" })).len(), 1);
    }

    #[test]
    fn a_path_tells_whether_what_stands_there_is_secret() {
        for (path, secret) in [
            ("/name", false),
            ("/password", true),
            ("/data", false),
            ("/data/x", true),
            ("/users/0/key", true),
            ("/users/0/name", false),
            ("/all/0/h/1", true),
            ("/nothing", false),
            ("", false),
        ] {
            assert_eq!(schema().is_secret(path), secret, "{path}");
        }
    }
}
