//! `datastore.*`: what each action makes of an entry, as a pure function.
//!
//! The engine performs these actions itself: it loads the entry, asks [`plan`], and commits the
//! change in the same batch as the step's result, expecting the entry's version. So a step's
//! change happens exactly once, and its outcome is never unknown.

use model::access::GLOBAL;
use model::{ActionRef, Duration, Effect, ErrorKind, StepError, Timestamp, Value};
use serde_json::json;

use crate::Metadata;
use crate::declare::metadata;

/// How many entries [`plan`] wants to see for `datastore.list`: one more than it ever returns.
pub const MAX_LISTED: usize = 1_001;
/// Longest key.
const MAX_KEY: usize = 256;

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// `<scope>/<key>`, as [`entry_key`] makes it.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// From then on it counts as absent.
    pub expires_at: Option<Timestamp>,
}

/// What becomes of an entry.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It has this value.
    Set {
        /// The value.
        value: Value,
        /// From then on it counts as absent.
        expires_at: Option<Timestamp>,
    },
    /// It is gone.
    Delete,
}

/// How a step went, and what it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The step's result.
    pub result: Result<Value, StepError>,
    /// The change to commit with it.
    pub change: Option<Change>,
}

impl Plan {
    fn answer(value: Value) -> Self {
        Self { result: Ok(value), change: None }
    }

    fn change(change: Change, value: Value) -> Self {
        Self { result: Ok(value), change: Some(change) }
    }
}

/// The name of the entry that the step is about, `<scope>/<key>`; for `datastore.list` the
/// beginning that all listed names have. `pack` is the calling chain's, empty for none.
pub fn entry_key(action: &ActionRef, pack: &str, parameters: &Value) -> Result<String, StepError> {
    let listing = action.name() == "list";
    let key = parameters[if listing { "prefix" } else { "key" }].as_str().unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    if key.len() > MAX_KEY || !key.chars().all(fits) || (key.is_empty() && !listing) {
        return Err(invalid(format!(
            "`{key}` is not a key: expected 1 to {MAX_KEY} of A-Z, a-z, 0-9, _, ., / and -"
        )));
    }
    let scope = if parameters["scope"] == GLOBAL { GLOBAL } else { pack };
    if scope.is_empty() {
        return Err(invalid(format!("no pack calls this: say `scope: {GLOBAL}`")));
    }
    Ok(format!("{scope}/{key}"))
}

/// What the step returns and changes, given the entry as it is now, or for `datastore.list` the
/// entries in the order of their names. Parameters fit the action's schema.
pub fn plan(
    action: &ActionRef,
    parameters: &Value,
    current: Option<&Entry>,
    listed: Vec<Entry>,
    now: Timestamp,
) -> Plan {
    let live = |entry: &Entry| entry.expires_at.is_none_or(|end| now < end);
    let current = current.filter(|entry| live(entry));
    let planned = match action.name() {
        "get" => Ok(get(parameters, current)),
        "set" => set(parameters, now),
        "delete" => Ok(delete(current)),
        "compare_and_set" => compare_and_set(parameters, current, now),
        "increment" => increment(parameters, current),
        "list" => Ok(list(parameters, listed.into_iter().filter(live))),
        _ => Err(StepError::new(ErrorKind::Internal, format!("no datastore action `{action}`"))),
    };
    planned.unwrap_or_else(|error| Plan { result: Err(error), change: None })
}

fn get(parameters: &Value, current: Option<&Entry>) -> Plan {
    let value = current.map_or(&parameters["default"], |entry| &entry.value);
    Plan::answer(json!({ "value": value, "found": current.is_some() }))
}

fn set(parameters: &Value, now: Timestamp) -> Result<Plan, StepError> {
    Ok(Plan::change(new_value(parameters, now)?, json!({})))
}

fn delete(current: Option<&Entry>) -> Plan {
    match current {
        Some(_) => Plan::change(Change::Delete, json!({ "deleted": true })),
        None => Plan::answer(json!({ "deleted": false })),
    }
}

/// Null stands for an absent entry: chains can say nothing else.
fn compare_and_set(
    parameters: &Value,
    current: Option<&Entry>,
    now: Timestamp,
) -> Result<Plan, StepError> {
    let found = current.map_or(&Value::Null, |entry| &entry.value);
    if same(found, &parameters["expected"]) {
        let change = new_value(parameters, now)?;
        let value = &parameters["value"];
        return Ok(Plan::change(change, json!({ "swapped": true, "current": value })));
    }
    Ok(Plan::answer(json!({ "swapped": false, "current": found })))
}

/// Equality in which 1 and 1.0 are one number, as in chains.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => one == other,
    }
}

fn increment(parameters: &Value, current: Option<&Entry>) -> Result<Plan, StepError> {
    let by = parameters["by"].as_i64().unwrap_or(1);
    let before = current.map_or(json!(0), |entry| entry.value.clone());
    let Some(before) = before.as_i64() else {
        let found = model::value::kind_of(&before);
        return Err(rejected(format!("the entry holds {found}, not a whole number")));
    };
    let Some(value) = before.checked_add(by) else {
        return Err(rejected(format!("{before} and {by} together are more than 64 bits hold")));
    };
    let expires_at = current.and_then(|entry| entry.expires_at);
    let change = Change::Set { value: value.into(), expires_at };
    Ok(Plan::change(change, json!({ "value": value })))
}

fn list(parameters: &Value, listed: impl Iterator<Item = Entry>) -> Plan {
    let limit = parameters["limit"].as_u64().unwrap_or(100) as usize;
    let name = |entry: Entry| match entry.key.split_once('/') {
        Some((_, name)) => name.to_owned(),
        None => entry.key,
    };
    let mut names = listed.map(name);
    let keys: Vec<String> = names.by_ref().take(limit).collect();
    Plan::answer(json!({ "keys": keys, "more": names.next().is_some() }))
}

/// The change to the step's `value`, which lives for its `ttl`.
fn new_value(parameters: &Value, now: Timestamp) -> Result<Change, StepError> {
    let value = parameters["value"].clone();
    model::value::fits(&value)
        .map_err(|unfit| StepError::new(ErrorKind::TooLarge, unfit.to_string()))?;
    let ttl: Option<Duration> = match parameters["ttl"].as_str() {
        Some(text) => Some(text.parse().map_err(|error| invalid(format!("`ttl`: {error}")))?),
        None => None,
    };
    Ok(Change::Set { value, expires_at: ttl.map(|ttl| ttl.after(now)) })
}

fn invalid(message: String) -> StepError {
    StepError::new(ErrorKind::InvalidParameters, message)
}

fn rejected(message: String) -> StepError {
    StepError::new(ErrorKind::Rejected, message)
}

/// What there is to know of the datastore's actions.
pub fn declarations() -> Vec<Metadata> {
    let key = json!({ "type": "string", "required": true });
    let scope = json!({
        "enum": ["pack", GLOBAL],
        "default": "pack",
        "description": "whose entry: this pack's, or one that all packs share",
    });
    let ttl = json!({ "type": "string", "description": "how long the entry lives, such as `1h`" });
    let value = json!({ "required": true });
    let declare = |name: &str, description: &str, effect, parameters: Value, result: Value| {
        let mut parameters = parameters;
        parameters["scope"] = scope.clone();
        metadata(&format!("datastore.{name}"), description, Some(effect), &parameters, &result)
    };
    vec![
        declare(
            "get",
            "Reads an entry",
            Effect::Read,
            json!({ "key": key, "default": { "description": "the value where there is no entry" } }),
            json!({ "value": {}, "found": { "type": "boolean" } }),
        ),
        declare(
            "set",
            "Writes an entry",
            Effect::Idempotent,
            json!({ "key": key, "value": value, "ttl": ttl }),
            json!({}),
        ),
        declare(
            "delete",
            "Removes an entry",
            Effect::Idempotent,
            json!({ "key": key }),
            json!({ "deleted": { "type": "boolean" } }),
        ),
        declare(
            "compare_and_set",
            "Writes an entry if it still has the expected value",
            Effect::Idempotent,
            json!({
                "key": key,
                "expected": { "description": "null, or left out: there must be no entry" },
                "value": value,
                "ttl": ttl,
            }),
            json!({ "swapped": { "type": "boolean" }, "current": {} }),
        ),
        declare(
            "increment",
            "Adds to a whole number, from 0 where there is no entry",
            Effect::Idempotent,
            json!({ "key": key, "by": { "type": "integer", "default": 1 } }),
            json!({ "value": { "type": "integer" } }),
        ),
        declare(
            "list",
            "Names the entries whose keys begin with a prefix",
            Effect::Read,
            json!({
                "prefix": { "type": "string", "default": "" },
                "limit": { "type": "integer", "minimum": 1, "maximum": MAX_LISTED - 1, "default": 100 },
            }),
            json!({
                "keys": { "type": "array", "items": { "type": "string" } },
                "more": { "type": "boolean" },
            }),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn entry(value: Value) -> Entry {
        Entry { key: "demo/k".to_owned(), value, expires_at: None }
    }

    fn action(name: &str) -> ActionRef {
        format!("datastore.{name}").parse().unwrap()
    }

    /// `current` → step → `result; change`.
    fn check(name: &str, parameters: Value, current: Option<Value>, expected: Expect) {
        let current = current.map(entry);
        let plan = plan(&action(name), &parameters, current.as_ref(), Vec::new(), at(100));
        let result = plan.result.map_or_else(|error| error.to_string(), |value| value.to_string());
        let change = match plan.change {
            None => "unchanged".to_owned(),
            Some(Change::Delete) => "deleted".to_owned(),
            Some(Change::Set { value, expires_at }) => {
                let end = expires_at.map(|end| format!(" until {}", end.as_second()));
                format!("= {value}{}", end.unwrap_or_default())
            }
        };
        expected.assert_eq(&format!("{result}; {change}"));
    }

    #[test]
    fn an_absent_entry_reads_as_the_default() {
        let get = |default: Value| json!({ "key": "k", "default": default });
        check(
            "get",
            get(json!(5)),
            Some(json!(1)),
            expect![[r#"{"found":true,"value":1}; unchanged"#]],
        );
        check("get", get(json!(5)), None, expect![[r#"{"found":false,"value":5}; unchanged"#]]);
        check(
            "get",
            json!({ "key": "k" }),
            None,
            expect![[r#"{"found":false,"value":null}; unchanged"#]],
        );
    }

    #[test]
    fn an_entry_lives_for_its_ttl() {
        check("set", json!({ "key": "k", "value": [1] }), None, expect!["{}; = [1]"]);
        check(
            "set",
            json!({ "key": "k", "value": 1, "ttl": "1m" }),
            None,
            expect!["{}; = 1 until 160"],
        );
        check(
            "set",
            json!({ "key": "k", "value": 1, "ttl": "soon" }),
            None,
            expect![
                "`ttl`: `soon` is not a duration: expected numbers with units ms, s, m, h, d or w, such as `30s` or `1h30m`, at most ten years (invalid_parameters); unchanged"
            ],
        );
        let mut old = entry(json!(1));
        old.expires_at = Some(at(100));
        let plan = plan(&action("get"), &json!({ "key": "k" }), Some(&old), Vec::new(), at(100));
        assert_eq!(plan, Plan::answer(json!({ "value": null, "found": false })));
    }

    #[test]
    fn deleting_says_whether_there_was_something() {
        check(
            "delete",
            json!({ "key": "k" }),
            Some(json!(1)),
            expect![[r#"{"deleted":true}; deleted"#]],
        );
        check("delete", json!({ "key": "k" }), None, expect![[r#"{"deleted":false}; unchanged"#]]);
    }

    #[test]
    fn only_the_expected_value_is_replaced() {
        let swap = |expected: Value| json!({ "key": "k", "expected": expected, "value": "new" });
        let swapped = expect![[r#"{"current":"new","swapped":true}; = "new""#]];
        check("compare_and_set", swap(json!("old")), Some(json!("old")), swapped);
        let swapped = expect![[r#"{"current":"new","swapped":true}; = "new""#]];
        check("compare_and_set", swap(json!(1.0)), Some(json!(1)), swapped);
        let swapped = expect![[r#"{"current":"new","swapped":true}; = "new""#]];
        check("compare_and_set", swap(json!(null)), None, swapped);
        let kept = expect![[r#"{"current":"other","swapped":false}; unchanged"#]];
        check("compare_and_set", swap(json!("old")), Some(json!("other")), kept);
        let kept = expect![[r#"{"current":null,"swapped":false}; unchanged"#]];
        check("compare_and_set", swap(json!("old")), None, kept);
    }

    #[test]
    fn counting_begins_at_0_and_needs_whole_numbers() {
        check("increment", json!({ "key": "k", "by": 1 }), None, expect![[r#"{"value":1}; = 1"#]]);
        check(
            "increment",
            json!({ "key": "k", "by": -3 }),
            Some(json!(2)),
            expect![[r#"{"value":-1}; = -1"#]],
        );
        check(
            "increment",
            json!({ "key": "k", "by": 1 }),
            Some(json!("x")),
            expect!["the entry holds a string, not a whole number (rejected); unchanged"],
        );
        check(
            "increment",
            json!({ "key": "k", "by": 1 }),
            Some(json!(i64::MAX)),
            expect![
                "9223372036854775807 and 1 together are more than 64 bits hold (rejected); unchanged"
            ],
        );
    }

    #[test]
    fn a_list_says_whether_there_is_more() {
        let named = |name: &str| Entry { key: format!("demo/{name}"), ..entry(json!(1)) };
        let expired = Entry { expires_at: Some(at(1)), ..named("a/0") };
        let listed = vec![expired, named("a/1"), named("a/2"), named("a/3")];
        let plan = plan(&action("list"), &json!({ "limit": 2 }), None, listed, at(100));
        assert_eq!(plan.result, Ok(json!({ "keys": ["a/1", "a/2"], "more": true })));
    }

    #[test]
    fn a_value_too_large_for_the_log_is_refused() {
        let value = "x".repeat(model::value::INLINE_VALUE_BYTES);
        let plan =
            plan(&action("set"), &json!({ "key": "k", "value": value }), None, Vec::new(), at(0));
        assert_eq!(plan.result.unwrap_err().kind, ErrorKind::TooLarge);
        assert_eq!(plan.change, None);
    }

    #[test]
    fn keys_belong_to_a_pack_unless_they_are_global() {
        let key = |name: &str, pack: &str, parameters: Value| {
            entry_key(&action(name), pack, &parameters).map_err(|error| error.message)
        };
        assert_eq!(
            key("get", "demo", json!({ "key": "a/b.c-d_e" })),
            Ok("demo/a/b.c-d_e".to_owned())
        );
        assert_eq!(
            key("get", "demo", json!({ "key": "k", "scope": "global" })),
            Ok("global/k".to_owned())
        );
        assert_eq!(key("list", "demo", json!({ "prefix": "" })), Ok("demo/".to_owned()));
        assert!(key("get", "", json!({ "key": "k" })).unwrap_err().contains("scope: global"));
        for bad in ["", "a b", "ä", "a:b", &"k".repeat(257)] {
            assert!(key("get", "demo", json!({ "key": bad })).is_err(), "{bad}");
        }
    }
}
