//! From a change to events: what rules see of it.

use model::value::{MAX_DEPTH, is_deeper};
use model::{Envelope, Event, Hash, Timestamp, TriggerType, Value, json};
use serde_json::json;

use super::compare::{Change, Operation};
use super::conditions::of;
use super::path::differing;

/// An event's data has 4 MiB at most; some room is left for the rest of it.
const MAX_BYTES: usize = 3 << 20;

/// What a trigger tells of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Telling {
    /// `kubernetes.object`: these operations.
    Objects(Vec<Operation>),
    /// `kubernetes.condition`.
    Conditions {
        /// Conditions of these types; empty: of all.
        types: Vec<String>,
        /// Whether another reason is told too where the status is the same.
        reasons: bool,
    },
    /// `kubernetes.event`: a core event, once for its series.
    Events,
}

/// How a change came to be known.
#[derive(Debug, Clone)]
pub(super) struct Circumstances<'a> {
    pub(super) source: &'a str,
    pub(super) kind: &'a TriggerType,
    pub(super) now: Timestamp,
    /// Whether it happened while nobody watched.
    pub(super) catch_up: bool,
}

impl Telling {
    /// Whether a change of this kind can be told.
    pub(super) fn tells(&self, operation: Operation) -> bool {
        match self {
            Self::Objects(operations) => operations.contains(&operation),
            Self::Conditions { .. } => !matches!(operation, Operation::Deleted | Operation::Left),
            // Nobody was told of one that a selector chooses only now.
            Self::Events => matches!(operation, Operation::Added | Operation::Entered),
        }
    }

    /// The events of `change`.
    pub(super) fn events(&self, change: &Change, how: &Circumstances<'_>) -> Vec<Event> {
        let Some(operation) = change.operation.filter(|operation| self.tells(*operation)) else {
            return Vec::new();
        };
        let payloads = match self {
            Self::Objects(_) => {
                vec![(operation.as_str().to_owned(), object(change, operation, how.catch_up))]
            }
            Self::Events => vec![("event".to_owned(), core_event(change, how.catch_up))],
            Self::Conditions { types, reasons } => {
                let told = changed_conditions(change, types, *reasons);
                told.into_iter().map(|told| condition(change, told, how.catch_up)).collect()
            }
        };
        payloads.into_iter().map(|(what, data)| event(change, &what, data, how)).collect()
    }
}

fn event(change: &Change, what: &str, data: Value, how: &Circumstances<'_>) -> Event {
    let content = Hash::of_value(&change.object).short();
    let first = if change.initial { "initial/" } else { "" };
    let envelope = Envelope {
        id: format!("{first}{}/{}/{what}/{content}", change.uid, change.version),
        source: how.source.to_owned(),
        kind: how.kind.clone(),
        time: how.now,
        subject: Some(change.key.clone()),
        cause: None,
        traceparent: None,
        tracestate: None,
    };
    Event { envelope, data }
}

fn object(change: &Change, operation: Operation, catch_up: bool) -> Value {
    let changed = match (&change.old, operation) {
        (Some(old), Operation::Modified) => differing(old, &change.object),
        _ => Vec::new(),
    };
    let fits = |old: &&Value| {
        !is_deeper(old, MAX_DEPTH - 1)
            && json::length(old) + json::length(&change.object) <= MAX_BYTES
    };
    let old = change.old.as_ref().filter(fits);
    // Copied whole: `json!` would make each value of them anew.
    let fields = [
        ("operation", operation.as_str().into()),
        ("object", change.object.clone()),
        ("old", old.cloned().unwrap_or_default()),
        ("changed", changed.into()),
        ("initial", change.initial.into()),
        ("catch_up", (catch_up && !change.initial).into()),
    ];
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A condition, as it is and as it was.
type Condition = (String, Value, Option<Value>);

/// Conditions whose status is not what it was, and with `reasons` those with another reason.
fn changed_conditions(change: &Change, types: &[String], reasons: bool) -> Vec<Condition> {
    let before = change.old.as_ref().map(of);
    let mut before = before.or_else(|| change.conditions.clone()).unwrap_or_default();
    let wanted = |kind: &String| types.is_empty() || types.contains(kind);
    let now = of(&change.object).into_iter().filter(|(kind, _)| wanted(kind));
    let all = now.map(|(kind, now)| {
        let was = before.remove(&kind);
        (kind, now, was)
    });
    let counts = |(_, now, was): &Condition| {
        let was = was.as_ref().unwrap_or(&Value::Null);
        now["status"] != was["status"] || (reasons && now["reason"] != was["reason"])
    };
    all.filter(counts).collect()
}

fn condition(change: &Change, (kind, now, was): Condition, catch_up: bool) -> (String, Value) {
    let was = was.unwrap_or_default();
    let data = json!({
        "type": kind,
        "status": now["status"],
        "reason": now["reason"],
        "message": now["message"],
        "from": was["status"],
        "to": now["status"],
        "old_reason": was["reason"],
        "object": change.object,
        "initial": change.initial,
        "catch_up": catch_up && !change.initial,
    });
    (format!("condition/{kind}"), data)
}

fn core_event(change: &Change, catch_up: bool) -> Value {
    let event = &change.object;
    json!({
        "type": event["type"],
        "reason": event["reason"],
        "message": event["message"],
        "regarding": event["involvedObject"],
        "source": event["source"]["component"].as_str().or(event["reportingComponent"].as_str()),
        "object": event,
        "initial": change.initial,
        "catch_up": catch_up && !change.initial,
    })
}
