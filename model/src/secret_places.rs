//! Where a value is secret by its schema: `secret: true`, at any depth.

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

    /// Whether what stands at this dotted path is secret.
    pub fn is_secret(&self, path: &str) -> bool {
        self.towards(path).any(says_so)
    }

    /// Whether a message must not show what stands at `path`: it is secret, or by its schema
    /// something within may be.
    pub(crate) fn hides(&self, path: &str) -> bool {
        self.is_secret(path) || self.towards(path).last().is_some_and(any_secret)
    }

    /// The schemas on the way to this dotted path, as far as they are known.
    fn towards<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Value> {
        let mut parts = path.split('.');
        let first = parts.next().and_then(|name| self.properties().get(name));
        std::iter::successors(first, move |property| {
            let inner = property.pointer(&format!("/properties/{}", parts.next()?));
            inner.or_else(|| property.get("items")).or_else(|| others(property))
        })
    }
}

fn any_secret(property: &Value) -> bool {
    match property {
        Value::Object(map) => says_so(property) || map.values().any(any_secret),
        Value::Array(items) => items.iter().any(any_secret),
        _ => false,
    }
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
            if let Some(inner) = property.get("items") {
                for (n, item) in items.iter_mut().enumerate() {
                    below(path, &n.to_string(), |path| within(inner, item, path, visit));
                }
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
    fn what_does_not_fit_is_told_without_showing_what_is_secret() {
        let value = json!({ "password": 12_345_678, "users": [{ "name": 1, "key": "hidden" }, "hidden too"] });
        let token = crate::Token::random(&[1; 32]);
        for violation in schema().violations(&value) {
            let shown = format!("{violation:?}");
            assert!(!shown.contains("12345678") && !shown.contains("hidden"), "{shown}");
        }
        let long = json!({ "password": { "type": "string", "secret": true, "minLength": 100 } });
        let schema = Schema::compile(long.as_object().unwrap()).unwrap();
        assert_eq!(schema.violations(&json!({ "password": token.as_str() })), []);
        assert_eq!(schema.violations(&json!({ "password": "short one" })).len(), 1);
    }

    #[test]
    fn a_path_tells_whether_what_stands_there_is_secret() {
        for (path, secret) in [
            ("name", false),
            ("password", true),
            ("data", false),
            ("data.x", true),
            ("users.0.key", true),
            ("users.0.name", false),
            ("all.0.h.1", true),
            ("nothing", false),
            ("", false),
        ] {
            assert_eq!(schema().is_secret(path), secret, "{path}");
        }
    }
}
