//! Objects that no rule can be given: nested too deep, or too large for an event.
//!
//! Such a change is left out, visibly, and what is remembered says so: it is told once the object can be,
//! next to what was told last. That an object is gone, or not chosen any more, is always told: with its
//! last state that could be, or with its metadata alone.

use model::value::{MAX_DEPTH, MAX_EVENT_BYTES, is_deeper, is_too_deep};
use model::{Event, Map, Value, json};

use super::compare::{Change, Operation};
use super::object::{Entry, Owed};
use super::told::{Circumstances, Telling};
use crate::LeftOut;

/// Why an event of an object cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it is nested deeper than {} levels, which no rule can look into", MAX_DEPTH - 1)]
    Depth,
    #[error(
        "with {0} bytes of JSON text it is larger than an event, which has {MAX_EVENT_BYTES} at most"
    )]
    Bytes(usize),
}

/// Whether an event can hold the object: it lies a level deep in it, with some text around it.
pub(super) fn fits(object: &Value) -> bool {
    const AROUND: usize = 4096;
    !is_deeper(object, MAX_DEPTH - 1) && json::length(object) + AROUND <= MAX_EVENT_BYTES
}

/// The bytes of an event's data.
fn weigh(data: &Value) -> Result<usize, Unfit> {
    if is_too_deep(data) {
        return Err(Unfit::Depth);
    }
    match json::length(data) {
        bytes if bytes > MAX_EVENT_BYTES => Err(Unfit::Bytes(bytes)),
        bytes => Ok(bytes),
    }
}

fn weigh_all(events: &[Event]) -> Result<usize, Unfit> {
    events.iter().map(|event| weigh(&event.data)).sum()
}

/// The events of a change with their bytes, and why there are none, or none of the whole object.
pub(super) fn tell(
    telling: &Telling,
    change: &Change,
    how: &Circumstances<'_>,
) -> (Vec<Event>, usize, Option<Unfit>) {
    let events = telling.events(change, how);
    let unfit = match weigh_all(&events) {
        Ok(bytes) => return (events, bytes, None),
        Err(unfit) => unfit,
    };
    let less = Some(change).filter(|change| change.is_end()).map(Change::lessened);
    let events = less.map_or_else(Vec::new, |change| telling.events(&change, how));
    match weigh_all(&events) {
        Ok(bytes) => (events, bytes, Some(unfit)),
        Err(_) => (Vec::new(), 0, Some(unfit)),
    }
}

impl Change {
    /// The same with the object as far as it can be told.
    fn lessened(&self) -> Self {
        let last = self.old.clone().filter(fits);
        let object = last.unwrap_or_else(|| outline(&self.object));
        Self { object, old: None, ..self.clone() }
    }

    /// What is remembered where it was left out.
    pub(super) fn owed(&self) -> Option<Entry> {
        let (entry, operation) = (self.entry.clone()?, self.operation?);
        let owed = Owed { operation, counts: self.counts.clone() };
        let untold = (operation != Operation::Modified).then(|| outline(&self.object));
        let last = untold.as_ref().or(self.old.as_ref());
        Some(entry.owing(owed, last, self.conditions.clone()))
    }

    pub(super) fn left_out(&self, unfit: Unfit) -> Option<LeftOut> {
        let operation = self.operation?.as_str().to_owned();
        let id = format!("{}/{}/{operation}", self.uid, self.version);
        Some(LeftOut { id, subject: self.key.clone(), operation, reason: unfit.to_string() })
    }
}

/// What can be told of any object: its kind and its metadata.
fn outline(object: &Value) -> Value {
    let fields = object.as_object().into_iter().flatten();
    let kept =
        fields.filter(|(name, _)| ["apiVersion", "kind", "metadata"].contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map>())
}
