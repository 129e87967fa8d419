//! Parameter and result schemas: `name → JSON Schema`, plus `required: true` and `secret: true`.

use jsonschema::error::ValidationErrorKind;

use crate::diagnostic::suggest;
use crate::value::{brief, kind_of};
use crate::{Map, Value, secret_places, token};

/// A map of named values and what each must be.
///
/// `required` and `secret` stand inside a property here; JSON Schema has other words for the one
/// and none for the other, so both are lifted out at every depth before the schema is compiled.
#[derive(Debug, Clone)]
pub struct Schema {
    properties: Map,
    validator: jsonschema::Validator,
}

/// Two schemas are the same if what was written is.
impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.properties == other.properties
    }
}

/// Where a value does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Dotted path into the value; empty for the whole.
    pub path: String,
    /// What was found and expected.
    pub message: String,
    /// What to do, where it is known.
    pub hint: Option<String>,
}

/// A schema that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadSchema {
    /// What is wrong.
    pub message: String,
}

impl Schema {
    /// A schema of these properties; a name that is not among them is a violation.
    pub fn compile(properties: &Map) -> Result<Self, BadSchema> {
        secret_places::check(properties)?;
        let mut root = object_schema(properties)?;
        root.insert("additionalProperties".to_owned(), Value::Bool(false));
        let validator = jsonschema::validator_for(&Value::Object(root))
            .map_err(|error| BadSchema { message: unusable(&error) })?;
        Ok(Self { properties: properties.clone(), validator })
    }

    /// A schema that no property is named in.
    pub fn empty() -> Self {
        // An empty map is a valid schema of no properties.
        Self::compile(&Map::new()).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// The properties as they were written.
    pub fn properties(&self) -> &Map {
        &self.properties
    }

    /// The names that must be given, in order.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        let required = |p: &Value| p.get("required") == Some(&Value::Bool(true));
        self.properties.iter().filter(move |(_, p)| required(p)).map(|(name, _)| name.as_str())
    }

    /// Fills in the defaults of properties that are absent from `value`.
    pub fn fill(&self, value: &mut Map) {
        for (name, property) in &self.properties {
            if let Some(default) = property.get("default")
                && !value.contains_key(name)
            {
                value.insert(name.clone(), default.clone());
            }
        }
    }

    /// Everything about `value` that does not fit.
    pub fn violations(&self, value: &Value) -> Vec<Violation> {
        let Value::Object(map) = value else {
            let message = format!("expected a map, found {}", kind_of(value));
            return vec![Violation { path: String::new(), message, hint: None }];
        };
        let missing =
            self.required().filter(|name| !map.contains_key(*name)).map(|name| Violation {
                path: name.to_owned(),
                message: format!("missing parameter `{name}`"),
                hint: self.describe(name),
            });
        self.unknown(map).chain(missing).chain(self.mistyped(value, |_| true)).collect()
    }

    /// Everything that does not fit about `value`, which says only a part: a name that must be
    /// given may be absent, also within, and there may be more of them.
    pub fn violations_of_part(&self, value: &Value) -> Vec<Violation> {
        use ValidationErrorKind::{MinProperties, Required};
        let absent = |kind: &_| matches!(kind, Required { .. } | MinProperties { .. });
        match value {
            Value::Object(map) => {
                self.unknown(map).chain(self.mistyped(value, |kind| !absent(kind))).collect()
            }
            _ => self.violations(value),
        }
    }

    fn unknown<'a>(&'a self, map: &'a Map) -> impl Iterator<Item = Violation> + 'a {
        let unknown = map.keys().filter(|name| !self.properties.contains_key(*name));
        unknown.map(|name| {
            let known = self.properties.keys().map(String::as_str);
            Violation {
                path: name.clone(),
                message: format!("unknown parameter `{name}`"),
                hint: Some(match suggest(name, known) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => self.known_names(),
                }),
            }
        })
    }

    /// What does not fit in a way that `counts`, missing and unknown names apart.
    fn mistyped(
        &self,
        value: &Value,
        counts: impl Fn(&ValidationErrorKind) -> bool,
    ) -> Vec<Violation> {
        let errors = self.validator.iter_errors(value).filter(|error| counts(error.kind()));
        let errors = errors.filter_map(|error| {
            let pointer = error.instance_path().to_string();
            let path = pointer.trim_start_matches('/').replace('/', ".");
            if path.is_empty() {
                return None;
            }
            if self.is_secret(&pointer) && token::is_within(error.instance()) {
                // Only what the token stands for could be measured, by whoever gets it.
                return None;
            }
            if self.hides(&pointer) {
                let message =
                    format!("`{path}`: the value does not fit; it is secret, and not shown");
                let hint = path.split('.').next().and_then(|name| self.describe(name));
                return Some(Violation { path, message, hint });
            }
            let found = brief(error.instance(), 60);
            let message = format!("`{path}`: {}", shorten(&error.to_string(), &found));
            let says = message.contains("expected");
            let described = || self.describe(path.split('.').next()?).filter(|_| !says);
            let hint = slip(&error).map(ToOwned::to_owned).or_else(described);
            Some(Violation { path, message, hint })
        });
        errors.collect()
    }

    fn known_names(&self) -> String {
        let names: Vec<&str> = self.properties.keys().map(String::as_str).collect();
        match names.is_empty() {
            true => "no parameters are known here".to_owned(),
            false => format!("known here: {}", names.join(", ")),
        }
    }

    fn describe(&self, name: &str) -> Option<String> {
        let property = self.properties.get(name)?;
        let description = property.get("description").and_then(Value::as_str);
        let kind = property.get("type").and_then(Value::as_str);
        match (kind, description) {
            (Some(kind), Some(text)) => Some(format!("`{name}` is a value of type {kind}: {text}")),
            (Some(kind), None) => Some(format!("`{name}` is a value of type {kind}")),
            (None, text) => text.map(ToOwned::to_owned),
        }
    }
}

/// A quote too many, or too few.
fn slip(error: &jsonschema::ValidationError<'_>) -> Option<&'static str> {
    let bare =
        |text: &str| text.parse::<serde_json::Number>().is_ok() || text.parse::<bool>().is_ok();
    if !matches!(error.kind(), ValidationErrorKind::Type { .. }) {
        return None;
    }
    match error.instance().as_ref() {
        Value::String(text) if bare(text) => Some("write it without quotes"),
        Value::Number(_) | Value::Bool(_) if error.to_string().contains("\"string\"") => {
            Some("quote it")
        }
        _ => None,
    }
}

/// jsonschema's messages quote the whole value: long ones are cut.
fn shorten(message: &str, found: &str) -> String {
    match message.split_once(" is not ") {
        Some((_, expected)) => {
            format!("expected {}, found {found}", expected.trim_start_matches("of "))
        }
        None => message.chars().take(300).collect(),
    }
}

/// What is wrong with a schema, and at which of its words.
fn unusable(error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let words: Vec<&str> =
        path.split('/').filter(|word| !word.is_empty() && *word != "properties").collect();
    let message = shorten(&error.to_string(), &brief(error.instance(), 60));
    if words.is_empty() { message } else { format!("`{}`: {message}", words.join(".")) }
}

/// Whether the `type` of a property is one; jsonschema only says that it fits no schema.
fn check_type(name: &str, property: &Map) -> Result<(), BadSchema> {
    const TYPES: [&str; 7] = ["string", "integer", "number", "boolean", "array", "object", "null"];
    let Some(Value::String(found)) = property.get("type") else { return Ok(()) };
    if TYPES.contains(&found.as_str()) {
        return Ok(());
    }
    let known = TYPES.join(", ");
    let message = format!(
        "`{name}`: `{found}` is no type: expected one of {known}, or no `type` for whatever it may be"
    );
    Err(BadSchema { message })
}

/// The JSON Schema of a map with these properties, our own words lifted out at every depth.
fn object_schema(properties: &Map) -> Result<Map, BadSchema> {
    let mut required = Vec::new();
    let mut clean = Map::new();
    for (name, property) in properties {
        let Value::Object(property) = property else {
            let message = format!(
                "`{name}` must be a map such as {{ type: string }}, found {}",
                kind_of(property)
            );
            return Err(BadSchema { message });
        };
        check_type(name, property)?;
        if property.get("required") == Some(&Value::Bool(true)) {
            required.push(Value::from(name.as_str()));
        }
        clean.insert(name.clone(), Value::Object(lift(property)?));
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), Value::from("object"));
    schema.insert("properties".to_owned(), Value::Object(clean));
    if !required.is_empty() {
        schema.insert("required".to_owned(), Value::Array(required));
    }
    Ok(schema)
}

/// One property without `required: true|false` and `secret`, and so for those inside it.
fn lift(property: &Map) -> Result<Map, BadSchema> {
    let mut clean = property.clone();
    if clean.get("required").is_some_and(Value::is_boolean) {
        clean.remove("required");
    }
    clean.remove("secret");
    if let Some(Value::Object(inner)) = property.get("properties") {
        clean.extend(object_schema(inner)?.into_iter().filter(|(word, _)| word != "type"));
    }
    if let Some(Value::Object(items)) = property.get("items") {
        clean.insert("items".to_owned(), Value::Object(lift(items)?));
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(value: Value, expected: Expect) {
        let properties = json!({
            "name": { "type": "string", "required": true, "description": "what to call it" },
            "size": { "type": "integer", "minimum": 1, "default": 3 },
            "tags": { "type": "array", "items": { "type": "string", "secret": true } },
            "box": { "type": "object", "properties": { "w": { "type": "integer", "required": true } } },
        });
        let schema = Schema::compile(properties.as_object().unwrap()).unwrap();
        let shown: Vec<String> = schema
            .violations(&value)
            .into_iter()
            .map(|v| {
                [Some(v.message), v.hint].into_iter().flatten().collect::<Vec<_>>().join(" -- ")
            })
            .collect();
        expected.assert_eq(&shown.join("\n"));
    }

    #[test]
    fn what_fits_has_no_violations() {
        check(json!({"name": "a", "size": 2, "tags": ["x"], "box": {"w": 1}}), expect![""]);
    }

    #[test]
    fn each_misfit_is_named() {
        check(
            json!({"nam": "a"}),
            expect![[r#"
            unknown parameter `nam` -- did you mean `name`?
            missing parameter `name` -- `name` is a value of type string: what to call it"#]],
        );
        check(
            json!({"name": 5, "tags": ["x", 1]}),
            expect![[r#"
                `name`: expected type "string", found 5 -- quote it
                `tags.1`: the value does not fit; it is secret, and not shown -- `tags` is a value of type array"#]],
        );
        check(
            json!({"name": "a", "size": 0}),
            expect!["`size`: 0 is less than the minimum of 1 -- `size` is a value of type integer"],
        );
        check(
            json!({"name": "a", "box": {}}),
            expect![[r#"`box`: "w" is a required property -- `box` is a value of type object"#]],
        );
        check(json!([1]), expect!["expected a map, found a list"]);
    }

    #[test]
    fn defaults_fill_what_is_absent() {
        let properties = json!({ "size": { "type": "integer", "default": 3 } });
        let schema = Schema::compile(properties.as_object().unwrap()).unwrap();
        let mut given = Map::new();
        schema.fill(&mut given);
        assert_eq!(Value::Object(given), json!({ "size": 3 }));
    }

    #[test]
    fn what_may_be_anything_has_no_type() {
        let compile =
            |property: Value| Schema::compile(json!({ "a": property }).as_object().unwrap());
        let refused = compile(json!({ "type": "any" })).unwrap_err().message;
        assert!(
            refused.starts_with("`a`: `any` is no type: expected one of string, "),
            "{refused}"
        );
        assert!(refused.ends_with(", or no `type` for whatever it may be"), "{refused}");
        let anything = compile(json!({ "description": "anything" })).unwrap();
        for value in [json!(null), json!(1), json!("text"), json!([{}])] {
            assert_eq!(anything.violations(&json!({ "a": value })), []);
        }
    }

    #[test]
    fn a_schema_that_is_not_one_is_refused() {
        for properties in [json!({ "a": "string" }), json!({ "a": { "type": "strng" } })] {
            assert!(Schema::compile(properties.as_object().unwrap()).is_err(), "{properties}");
        }
    }
}
