//! Conditions in the shape that the API's conventions give them, and how they move.

use model::{Map, Value};
use serde_json::json;

/// The conditions of a status once `wanted` hold too: those of other types stay as they are.
///
/// The time of the last transition moves only where the status changes; the generation is the one
/// that was looked at, where nothing else is said.
///
/// Errors: a condition without a type or with an impossible status, in words.
pub(super) fn merged(
    current: &[Value],
    wanted: &[Value],
    generation: Option<i64>,
    now: &str,
) -> Result<Vec<Value>, String> {
    let mut all = current.to_vec();
    for condition in wanted {
        let kind = condition["type"].as_str().filter(|kind| !kind.is_empty());
        let kind = kind.ok_or("a condition needs a `type`, such as `Ready`")?;
        let place = all.iter().position(|found| found["type"] == kind);
        let before = place.map(|place| &all[place]);
        let after = moved(before, condition, generation, now)?;
        match place {
            Some(place) => all[place] = after,
            None => all.push(after),
        }
    }
    Ok(all)
}

fn moved(
    before: Option<&Value>,
    wanted: &Value,
    generation: Option<i64>,
    now: &str,
) -> Result<Value, String> {
    let status = status(&wanted["status"])?;
    let mut after: Map = before.and_then(Value::as_object).cloned().unwrap_or_default();
    let since = match before.filter(|before| before["status"] == status) {
        Some(before) if before["lastTransitionTime"].is_string() => {
            before["lastTransitionTime"].clone()
        }
        _ => json!(now),
    };
    if let Some(generation) = generation {
        after.insert("observedGeneration".to_owned(), json!(generation));
    }
    // The conventions ask for both; a type that validates its conditions refuses one without them.
    after.entry("reason").or_insert(json!(if status == "True" { "Done" } else { "Pending" }));
    after.entry("message").or_insert(json!(""));
    after.extend(wanted.as_object().cloned().unwrap_or_default());
    after.insert("status".to_owned(), json!(status));
    if wanted["lastTransitionTime"].is_null() {
        after.insert("lastTransitionTime".to_owned(), since);
    }
    Ok(Value::Object(after))
}

fn status(value: &Value) -> Result<&'static str, String> {
    match value {
        Value::Bool(true) => Ok("True"),
        Value::Bool(false) => Ok("False"),
        Value::String(text) if text == "True" => Ok("True"),
        Value::String(text) if text == "False" => Ok("False"),
        Value::String(text) if text == "Unknown" => Ok("Unknown"),
        other => Err(format!(
            "a condition's `status` is {other}: expected \"True\", \"False\", \"Unknown\" or a boolean"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "2026-01-01T00:00:00Z";
    const NOW: &str = "2026-01-02T00:00:00Z";

    fn ready(status: &str, since: &str, generation: i64) -> Value {
        json!({
            "type": "Ready", "status": status, "reason": "R", "message": "",
            "lastTransitionTime": since, "observedGeneration": generation,
        })
    }

    #[test]
    fn the_time_of_the_last_transition_moves_only_with_the_status() {
        let current = [ready("False", BEFORE, 1)];
        let wanted = |status: Value| [json!({ "type": "Ready", "status": status, "reason": "R" })];
        for (status, expected) in [
            (json!("False"), ready("False", BEFORE, 2)),
            (json!(false), ready("False", BEFORE, 2)),
            (json!("True"), ready("True", NOW, 2)),
            (json!(true), ready("True", NOW, 2)),
        ] {
            assert_eq!(merged(&current, &wanted(status), Some(2), NOW).unwrap(), [expected]);
        }
    }

    #[test]
    fn conditions_of_other_types_stay_and_new_ones_come_last() {
        let other = json!({ "type": "Synced", "status": "True", "extra": 1 });
        let wanted = [json!({ "type": "Ready", "status": true, "reason": "R" })];
        let all = merged(std::slice::from_ref(&other), &wanted, Some(3), NOW).unwrap();
        assert_eq!(all, [other, ready("True", NOW, 3)]);
    }

    #[test]
    fn a_condition_that_cannot_be_is_refused() {
        let missing = merged(&[], &[json!({ "status": "True" })], None, NOW).unwrap_err();
        assert_eq!(missing, "a condition needs a `type`, such as `Ready`");
        let odd = merged(&[], &[json!({ "type": "Ready", "status": "yes" })], None, NOW);
        assert!(odd.unwrap_err().contains("`status` is \"yes\""));
    }
}
