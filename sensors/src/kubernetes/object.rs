//! An object as it is compared and told: without bookkeeping, a Secret without its values.

use std::collections::{BTreeMap, BTreeSet};

use model::{Map, Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::compare::Operation;
use super::conditions;
use super::packing::{pack, unpack};
use super::ways::{Mark, Way};

/// An object that is there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    /// `namespace/name`, or the name alone.
    pub(super) key: String,
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) created: Option<Timestamp>,
    /// Whether somebody wrote to it after it was made, its status apart.
    pub(super) written_later: bool,
    /// The newest time that it tells, by the API server's clock.
    pub(super) newest: Option<Timestamp>,
    /// What counts of it, by the numbers of the ways of counting.
    pub(super) marks: BTreeMap<u32, Mark>,
    /// What is told of it.
    pub(super) value: Value,
}

/// What is remembered of an object. Stored: fields are only ever added, with a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) uid: String,
    pub(super) version: String,
    /// What counts in the first way of counting; without a print nobody counts so any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<i64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    print: String,
    /// What counts in later ones, by their numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    more: BTreeMap<u32, Mark>,
    /// The object as it was told last, deflated and in base64; none: it is too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packed: Option<String>,
    /// Status and reason of its conditions as they were told last, likewise, where the object is too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conditions: Option<String>,
    /// What was left out since, for no rule could be given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owed: Option<Owed>,
}

/// A change that could not be told. Stored, like the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owed {
    pub(super) operation: Operation,
    /// Those ways of counting in which it is one.
    #[serde(default)]
    pub(super) counts: BTreeSet<u32>,
}

impl Object {
    /// Reads what the API server says; none: it is no object with a name.
    pub(super) fn read(mut value: Value, ways: &[Way]) -> Option<Self> {
        host::kubernetes::veil(&mut value);
        let key = key_of(&value)?;
        let metadata = value.get_mut("metadata")?.as_object_mut()?;
        let managed = metadata.remove("managedFields").unwrap_or_default();
        let text = |name: &str| metadata.get(name).and_then(Value::as_str);
        let created = text("creationTimestamp").and_then(|time| time.parse::<Timestamp>().ok());
        let (uid, version) = (text("uid")?.to_owned(), text("resourceVersion")?.to_owned());
        let writes = writes(&managed);
        let written_later = created.is_some_and(|created| written_after(&writes, created));
        let newest = writes.iter().map(|(_, time)| *time).max().max(created);
        let marks = ways.iter().map(|way| (way.number, way.changes.mark(&value))).collect();
        Some(Self { key, uid, version, created, written_later, newest, marks, value })
    }

    /// What is to be remembered of it.
    pub(super) fn entry(&self) -> Entry {
        let mut more = self.marks.clone();
        let Mark { generation, print } = more.remove(&0).unwrap_or_default();
        let (uid, version) = (self.uid.clone(), self.version.clone());
        let packed = pack(&self.value);
        let large = packed.is_none().then(|| conditions::outline(&self.value)).flatten();
        let conditions = large.as_ref().and_then(pack);
        Entry { uid, version, generation, print, more, packed, conditions, owed: None }
    }
}

impl Entry {
    /// What counted in this way of counting, if it did.
    pub(super) fn mark(&self, way: u32) -> Option<Mark> {
        match way {
            0 if self.print.is_empty() => None,
            0 => Some(Mark { generation: self.generation, print: self.print.clone() }),
            way => self.more.get(&way).cloned(),
        }
    }

    /// The object as it was told last.
    pub(super) fn object(&self) -> Option<Value> {
        unpack(self.packed.as_ref()?)
    }

    /// Status and reason of its conditions as they were told last, where the object is too large.
    pub(super) fn conditions(&self) -> Option<Map> {
        match unpack(self.conditions.as_ref()?)? {
            Value::Object(conditions) => Some(conditions),
            _ => None,
        }
    }

    /// The same of an object whose change could not be told; `last` is what was, or its `conditions`.
    pub(super) fn owing(self, owed: Owed, last: Option<&Value>, conditions: Option<Map>) -> Self {
        let conditions = conditions.map(Value::Object).as_ref().and_then(pack);
        Self { packed: last.and_then(pack), conditions, owed: Some(owed), ..self }
    }

    pub(super) fn read(value: Value) -> Option<Self> {
        serde_json::from_value(value).ok()
    }

    pub(super) fn write(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// What an object is called; none: it has no name.
pub(super) fn key_of(value: &Value) -> Option<String> {
    let name = value["metadata"]["name"].as_str()?;
    Some(match value["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    })
}

/// When somebody wrote, and whether that was to a part of it such as its status.
fn writes(managed: &Value) -> Vec<(bool, Timestamp)> {
    let writers = managed.as_array().into_iter().flatten();
    let write = |writer: &Value| {
        let time = writer["time"].as_str()?.parse().ok()?;
        Some((writer.get("subresource").is_some(), time))
    };
    writers.filter_map(write).collect()
}

fn written_after(writes: &[(bool, Timestamp)], created: Timestamp) -> bool {
    writes.iter().any(|(to_a_part, time)| !to_a_part && *time > created)
}
