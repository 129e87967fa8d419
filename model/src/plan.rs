//! What performing a step would do, said without doing it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most changes that one plan tells; the rest is a line that counts them.
const MAX_CHANGES: usize = 200;

/// What an action would do with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// It, in a sentence.
    pub summary: String,
    /// Each thing that would change.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// What performing would answer, where that can be known; a dry run goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// One thing that would change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What it is.
    pub what: String,
    /// What it is now; absent where there is nothing, or where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// The difference as a unified diff, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

impl Plan {
    /// A plan that changes nothing yet.
    pub fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), changes: Vec::new(), result: None }
    }

    /// The same with one more change.
    #[must_use]
    pub fn with(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// The same, knowing what performing would answer.
    #[must_use]
    pub fn answering(self, result: Value) -> Self {
        Self { result: Some(result), ..self }
    }

    /// The plan that an action of a pack answers: `{ summary, changes, result? }`, in which a change
    /// may be a text.
    pub fn read(mut answer: Value) -> Result<Self, String> {
        if let Some(changes) = answer.get_mut("changes").and_then(Value::as_array_mut) {
            let all = changes.len();
            changes.truncate(MAX_CHANGES);
            for change in changes.iter_mut().filter(|change| change.is_string()) {
                *change = Value::Object(Map::from_iter([("what".to_owned(), change.take())]));
            }
            if all > MAX_CHANGES {
                changes.push(serde_json::json!({ "what": format!("{} more", all - MAX_CHANGES) }));
            }
        }
        serde_json::from_value(answer).map_err(|error| {
            format!("expected {{ summary, changes, result? }}, a change with what, before, after or diff: {error}")
        })
    }
}

impl Change {
    /// That `what` becomes `after`.
    pub fn to(what: impl Into<String>, after: Value) -> Self {
        Self { what: what.into(), after: Some(after), ..Self::default() }
    }

    /// The same, knowing what it is now.
    #[must_use]
    pub fn from(self, before: Option<Value>) -> Self {
        Self { before, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pack_tells_changes_as_texts_or_in_parts() {
        let read = Plan::read(json!({
            "summary": "two records", "changes": ["add a", { "what": "b", "before": 1, "after": 2 }],
        }));
        let changes = [
            Change { what: "add a".to_owned(), ..Change::default() },
            Change::to("b", json!(2)).from(Some(json!(1))),
        ];
        let plan = changes.into_iter().fold(Plan::new("two records"), Plan::with);
        assert_eq!(read.unwrap(), plan);
    }

    #[test]
    fn an_answer_that_is_no_plan_is_refused_with_what_was_expected() {
        for answer in [json!(null), json!({}), json!({ "summary": "x", "change": [] })] {
            let error = Plan::read(answer).unwrap_err();
            assert!(error.starts_with("expected { summary, changes, result? }"), "{error}");
        }
    }

    #[test]
    fn a_plan_of_very_many_changes_is_cut_and_says_so() {
        let many = vec!["x"; MAX_CHANGES + 3];
        let plan = Plan::read(json!({ "summary": "many", "changes": many })).unwrap();
        assert_eq!(plan.changes.len(), MAX_CHANGES + 1);
        assert_eq!(plan.changes.last().unwrap().what, "3 more");
    }
}
