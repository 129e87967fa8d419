//! Whether a value holds what is expected of it: as much as is named.

use model::Value;
use model::value::brief;

/// Where `found` does not hold what `expected` names, as `path: expected …, found …`.
///
/// A map must hold the named entries and may hold others; a list must have the same length;
/// numbers are equal by value, so that 1 and 1.0 are.
pub(super) fn misfits(expected: &Value, found: &Value) -> Vec<String> {
    let mut all = Vec::new();
    compare(expected, Some(found), "", &mut all);
    all
}

fn compare(expected: &Value, found: Option<&Value>, path: &str, all: &mut Vec<String>) {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match (expected, found) {
        (Value::Object(expected), Some(Value::Object(found))) => {
            for (key, value) in expected {
                compare(value, found.get(key), &below(key), all);
            }
        }
        (Value::Array(expected), Some(Value::Array(found))) if expected.len() == found.len() => {
            for (n, value) in expected.iter().enumerate() {
                compare(value, found.get(n), &below(&n.to_string()), all);
            }
        }
        (expected, Some(found)) if same(expected, found) => {}
        (Value::Null, None) => {}
        (expected, found) => {
            let expected = brief(expected, 80);
            let found = found.map_or_else(|| "nothing".to_owned(), |found| brief(found, 80));
            let at = if path.is_empty() { String::new() } else { format!("{path}: ") };
            all.push(format!("{at}expected {expected}, found {found}"));
        }
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_much_as_is_named_must_be_there() {
        let found = json!({ "name": "a", "size": 1, "tags": ["x", { "k": 1, "l": 2 }] });
        for (expected, misfit) in [
            (json!({}), vec![]),
            (json!({ "size": 1.0, "tags": ["x", { "k": 1 }], "gone": null }), vec![]),
            (json!({ "name": "b" }), vec![r#"name: expected "b", found "a""#]),
            (
                json!({ "tags": ["x", { "k": 2 }], "more": true }),
                vec!["more: expected true, found nothing", "tags.1.k: expected 2, found 1"],
            ),
            (json!({ "tags": [] }), vec![r#"tags: expected [], found ["x",{"k":1,"l":2}]"#]),
            (
                json!(7),
                vec![r#"expected 7, found {"name":"a","size":1,"tags":["x",{"k":1,"l":2}]}"#],
            ),
        ] {
            let mut misfits = misfits(&expected, &found);
            misfits.sort();
            assert_eq!(misfits, misfit, "{expected}");
        }
    }
}
