//! From a change to events: what rules see of it.

use model::{Envelope, Event, Hash, Timestamp, TriggerType, Value};
use serde_json::{Map, json};

use super::compare::{Change, Operation};
use super::path::differing;

/// An event's data has 4 MiB at most; some room is left for the rest of it.
const MAX_BYTES: usize = 3 << 20;

/// What a trigger tells of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Telling {
    /// `kubernetes.object`: these operations.
    Objects(Vec<Operation>),
    /// `kubernetes.condition`: conditions of these types; empty: of all.
    Conditions(Vec<String>),
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
    /// The events of `change`.
    pub(super) fn events(&self, change: &Change, how: &Circumstances<'_>) -> Vec<Event> {
        let Some(operation) = change.operation else { return Vec::new() };
        let payloads = match self {
            Self::Objects(operations) if operations.contains(&operation) => {
                vec![(operation.as_str().to_owned(), object(change, operation, how.catch_up))]
            }
            Self::Events if operation == Operation::Added => {
                vec![("event".to_owned(), core_event(change, how.catch_up))]
            }
            Self::Objects(_) | Self::Events => Vec::new(),
            Self::Conditions(types) => conditions(change, operation, types, how.catch_up),
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
    };
    Event { envelope, data }
}

fn object(change: &Change, operation: Operation, catch_up: bool) -> Value {
    let changed = match (&change.old, operation) {
        (Some(old), Operation::Modified) => differing(old, &change.object),
        _ => Vec::new(),
    };
    let fits = |old: &&Value| old.to_string().len() + change.object.to_string().len() <= MAX_BYTES;
    let old = change.old.as_ref().filter(fits);
    json!({
        "operation": operation.as_str(),
        "object": change.object,
        "old": old,
        "changed": changed,
        "initial": change.initial,
        "catch_up": catch_up && !change.initial,
    })
}

/// Conditions whose status, reason or type is not what it was.
fn conditions(
    change: &Change,
    operation: Operation,
    types: &[String],
    catch_up: bool,
) -> Vec<(String, Value)> {
    if matches!(operation, Operation::Deleted | Operation::Left) {
        return Vec::new();
    }
    let before = change.old.as_ref().map(of).unwrap_or_default();
    let now = of(&change.object);
    let wanted = now.iter().filter(|(kind, _)| types.is_empty() || types.contains(kind));
    let told = wanted.filter_map(|(kind, condition)| {
        let was = before.get(kind);
        let status = |of: Option<&Value>| of.map(|of| of["status"].clone()).unwrap_or_default();
        let (from, to) = (status(was), status(Some(condition)));
        (from != to).then(|| {
            let data = json!({
                "type": kind,
                "status": to,
                "reason": condition["reason"],
                "message": condition["message"],
                "from": from,
                "to": to,
                "object": change.object,
                "initial": change.initial,
                "catch_up": catch_up && !change.initial,
            });
            (format!("condition/{kind}"), data)
        })
    });
    told.collect()
}

/// An object's conditions by their type.
fn of(object: &Value) -> Map<String, Value> {
    let all = object.pointer("/status/conditions").and_then(Value::as_array);
    let named = all
        .into_iter()
        .flatten()
        .filter_map(|condition| Some((condition["type"].as_str()?.to_owned(), condition.clone())));
    named.collect()
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
