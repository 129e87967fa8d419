//! What of an answer a step calls secret: places such as `json.access_token`, whose values get tokens
//! before anything is stored.
//!
//! A body is told twice, as `body` and as `json`. Where a place lies in one of them the other one is left
//! out, and an answer that was not expected, which may have its secrets anywhere, is not shown.

use model::{Schema, Value, keys};
use reqwest::header::LOCATION;

use super::exchange::{Answer, Body};

/// Most places of one step.
pub(super) const MAX_PLACES: usize = 50;
/// Deepest place.
const MAX_DEPTH: usize = 32;
/// Stands in errors for what may hold secrets.
const NOT_SHOWN: &str =
    "(not shown: `secrets` names parts of the answer; add this status to `expect` to get them)";

/// The places of an answer that are secret, as the keys towards them.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets(Vec<Vec<String>>);

impl Secrets {
    /// Those that the step's parameters name, else what is wrong with them.
    pub(super) fn of(parameters: &Value) -> Result<Self, String> {
        let listed = parameters["secrets"].as_array().into_iter().flatten();
        let places = listed.map(|place| {
            let text = place.as_str().unwrap_or_default();
            keys_towards(text).map_err(|why| {
                format!(
                    "`secrets`: `{text}` is no place in an answer: {why}; write it as json.access_token, json[\"a.key with dots\"], headers.set-cookie, body or url"
                )
            })
        });
        let secrets = Self(places.collect::<Result<_, _>>()?);
        let in_body = ["json", "body"].map(|part| secrets.names(part));
        match (in_body, parameters["download"].is_null()) {
            ([true, true], _) => {
                Err("`secrets`: `body` and `json` tell the same twice: name places in one of them"
                    .to_owned())
            }
            ([true, _] | [_, true], false) => Err(
                "`secrets`: with `download` the body goes to a file as it is: name no place in it"
                    .to_owned(),
            ),
            _ => Ok(secrets),
        }
    }

    /// What the answer looks like, with these places secret; as it is where they mean nothing, which is told
    /// when the request is made.
    pub(super) fn schema(&self, own: &Schema) -> Option<Schema> {
        let mut properties = Value::Object(own.properties().clone());
        for place in &self.0 {
            let mut keys = place.iter();
            let first = keys.next()?;
            let at = keys.fold(&mut properties[first], |at, key| &mut at["properties"][key]);
            at["secret"] = true.into();
        }
        if self.names("body") {
            properties["body_base64"]["secret"] = true.into();
        }
        Schema::compile(properties.as_object()?).ok()
    }

    fn names(&self, part: &str) -> bool {
        self.0.iter().any(|place| place[0] == part)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The result without what would tell a secret a second time.
    pub(super) fn told_once(&self, mut result: Value) -> Value {
        let again = match (self.names("json"), self.names("body")) {
            (true, _) => "body",
            (_, true) => "json",
            _ => return result,
        };
        result[again] = Value::Null;
        if let Some(result) = result.as_object_mut() {
            // It may quote what could not be read.
            result.remove("json_error");
            if again == "body" {
                result.remove("body_base64");
            }
        }
        result
    }

    /// An answer that was not expected, without anything that may be secret.
    pub(super) fn veil(&self, answer: &mut Answer) {
        if self.is_empty() {
            return;
        }
        answer.body = Ok(Body::Bytes(NOT_SHOWN.into()));
        answer.headers.remove(LOCATION);
        if self.names("url") {
            NOT_SHOWN.clone_into(&mut answer.url);
        }
    }

    /// Lines about places that the result does not have: what a slip of the pen calls secret is not.
    pub(super) fn absent(&self, result: &Value) -> Option<String> {
        let absent = self.0.iter().filter(|place| !holds(result, place));
        let lines = absent.map(|place| {
            format!(
                "[tripline: `secrets` names `{}`, which the answer does not have]\n",
                place.join(".")
            )
        });
        Some(lines.collect::<String>()).filter(|lines| !lines.is_empty())
    }
}

/// Whether something stands at the place, also in one of the lists on the way.
fn holds(value: &Value, place: &[String]) -> bool {
    match (value, place) {
        (Value::Null, _) => false,
        (_, []) => true,
        (Value::Array(items), _) => items.iter().any(|item| holds(item, place)),
        (Value::Object(map), [key, rest @ ..]) => map.get(key).is_some_and(|it| holds(it, rest)),
        _ => false,
    }
}

/// The keys towards a place, as the result has them. Names of headers lie side by side and are in lower case.
fn keys_towards(place: &str) -> Result<Vec<String>, String> {
    let keys = match place.split_once('.') {
        Some((part @ "headers", name)) if !name.is_empty() => vec![part, name],
        _ => keys::read(place)?,
    };
    let mut keys: Vec<String> = keys.into_iter().map(ToOwned::to_owned).collect();
    match (keys[0].as_str(), keys.len() - 1) {
        ("json" | "headers" | "body" | "url", 0) => {}
        ("headers", 1) => keys[1].make_ascii_lowercase(),
        ("json", depth) if depth > MAX_DEPTH => return Err(format!("it is {depth} deep")),
        ("json", _) => {
            if let Some(number) = keys.iter().find(|key| key.parse::<usize>().is_ok()) {
                return Err(format!(
                    "`{number}` is a place in a list: leave it out, for all that the list holds"
                ));
            }
        }
        ("headers" | "body" | "url", _) => {
            return Err(format!("nothing lies within `{}`", keys[0]));
        }
        (other, _) => return Err(format!("`{other}` is none of json, headers, body and url")),
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secrets(places: Value) -> Result<Secrets, String> {
        Secrets::of(&json!({ "secrets": places }))
    }

    /// What is secret of `answer`.
    fn found(places: Value, mut answer: Value) -> Vec<String> {
        let own = Schema::compile(json!({ "json": {}, "body": {} }).as_object().unwrap()).unwrap();
        let schema = secrets(places).unwrap().schema(&own).unwrap();
        let mut found = Vec::new();
        schema.secrets(&mut answer, &mut |place| found.push(place.to_string()));
        found.sort();
        found
    }

    #[test]
    fn places_are_parts_of_an_answer_also_through_lists() {
        let answer = || {
            json!({
                "json": { "access_token": "a", "keys": [{ "key": "b", "id": 1 }, { "key": "c" }],
                    "by name": { "x.y": "d" }, "all": ["e", { "deep": 7 }] },
                "headers": { "set-cookie": "f", "x.y": "g", "date": "now" },
                "body": "h", "body_base64": "i", "url": "j",
            })
        };
        for (places, expected) in [
            (json!(["json.access_token"]), vec![r#""a""#]),
            (json!(["json.keys.key", "json.none"]), vec![r#""b""#, r#""c""#]),
            (json!([r#"json["by name"]["x.y"]"#]), vec![r#""d""#]),
            (json!(["json.all"]), vec![r#""e""#, "7"]),
            (json!(["headers.Set-Cookie", "headers.x.y"]), vec![r#""f""#, r#""g""#]),
            (json!(["body", "url"]), vec![r#""h""#, r#""i""#, r#""j""#]),
        ] {
            assert_eq!(found(places.clone(), answer()), expected, "{places}");
        }
        assert_eq!(found(json!(["json.token"]), json!({ "json": [{ "token": "k" }] })), [r#""k""#]);
    }

    #[test]
    fn what_is_no_place_in_an_answer_is_refused_with_the_reason() {
        let deep = format!("json{}", ".a".repeat(1_000));
        for (place, why) in [
            ("", "a name is missing"),
            ("json..x", "a name is missing"),
            ("access_token", "`access_token` is none of json, headers, body and url"),
            ("status", "`status` is none of json, headers, body and url"),
            ("body.token", "nothing lies within `body`"),
            ("headers[\"a\"].b", "nothing lies within `headers`"),
            ("json.keys[0].key", "`0` is a place in a list"),
            (&deep, "it is 1000 deep"),
        ] {
            let error = secrets(json!(["json.a", place])).unwrap_err();
            assert!(error.contains(why), "{place}: {error}");
        }
        let error = secrets(json!(["json.a", "body"])).unwrap_err();
        assert!(error.contains("tell the same twice"), "{error}");
        for place in ["json.a", "body"] {
            let parameters = json!({ "secrets": [place], "download": { "to": "x" } });
            let error = Secrets::of(&parameters).unwrap_err();
            assert!(error.contains("goes to a file as it is"), "{error}");
        }
    }

    #[test]
    fn a_body_that_holds_a_secret_is_told_once() {
        let answer = json!({ "json": { "a": 1 }, "body": "{\"a\":1}", "json_error": "why" });
        let told = |place: &str| secrets(json!([place])).unwrap().told_once(answer.clone());
        assert_eq!(told("json.a"), json!({ "json": { "a": 1 }, "body": null }));
        assert_eq!(told("body"), json!({ "json": null, "body": "{\"a\":1}" }));
        assert_eq!(told("headers.a"), answer);
    }

    #[test]
    fn a_place_that_is_not_there_is_told() {
        let answer = json!({ "json": { "keys": [{ "key": 1 }, {}], "none": null }, "headers": {} });
        let absent = |places: Value| secrets(places).unwrap().absent(&answer);
        assert_eq!(absent(json!(["json.keys.key", "json", "headers"])), None);
        let told = absent(json!(["json.keys.kee", "json.none", "headers.etag"])).unwrap();
        assert_eq!(told.lines().count(), 3, "{told}");
        assert!(told.contains("`json.keys.kee`"), "{told}");
    }
}
