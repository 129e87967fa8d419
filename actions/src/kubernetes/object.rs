//! Reading an object: what is absent reads as nothing.

use model::Value;

/// An object of the API server, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Object<'a>(pub(super) &'a Value);

/// One entry of `status.conditions`.
pub(super) struct Condition<'a> {
    /// `True`, `False` or `Unknown`.
    pub(super) status: &'a str,
    /// One word.
    pub(super) reason: &'a str,
    /// The reason and a sentence, as far as they are told.
    pub(super) message: String,
    /// The version of the object that it speaks of, where it says so.
    pub(super) generation: Option<i64>,
}

impl Condition<'_> {
    /// Whether it speaks of an older version than the one that `object` has.
    pub(super) fn is_stale(&self, object: Object<'_>) -> bool {
        self.generation.is_some_and(|seen| seen < object.number("/metadata/generation"))
    }
}

impl<'a> Object<'a> {
    /// What lies at a JSON pointer.
    pub(super) fn at(self, pointer: &str) -> Object<'a> {
        Object(self.0.pointer(pointer).unwrap_or(&Value::Null))
    }

    /// The text there; empty where there is none.
    pub(super) fn text(self, pointer: &str) -> &'a str {
        self.at(pointer).0.as_str().unwrap_or_default()
    }

    /// The number there; 0 where there is none, as the API server leaves zeros out.
    pub(super) fn number(self, pointer: &str) -> i64 {
        self.at(pointer).0.as_i64().unwrap_or_default()
    }

    /// `spec.replicas`, which is 1 where nothing is said.
    pub(super) fn replicas(self) -> i64 {
        self.at("/spec/replicas").0.as_i64().unwrap_or(1)
    }

    /// Whether `true` stands there.
    pub(super) fn is(self, pointer: &str) -> bool {
        self.at(pointer).0 == &Value::Bool(true)
    }

    /// The entries of the list there.
    pub(super) fn list(self, pointer: &str) -> impl Iterator<Item = Object<'a>> {
        self.at(pointer).0.as_array().into_iter().flatten().map(Object)
    }

    /// Whether the list or map there has an entry.
    pub(super) fn holds(self, pointer: &str) -> bool {
        match self.at(pointer).0 {
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
            _ => false,
        }
    }

    /// The condition of this type.
    pub(super) fn condition(self, kind: &str) -> Option<Condition<'a>> {
        let found = self.list("/status/conditions").find(|entry| entry.text("/type") == kind)?;
        let (reason, message) = (found.text("/reason"), found.text("/message"));
        let both = [reason, message].into_iter().filter(|part| !part.is_empty());
        let message = both.collect::<Vec<_>>().join(": ");
        let generation = found.at("/observedGeneration").0.as_i64();
        Some(Condition { status: found.text("/status"), reason, message, generation })
    }

    /// The condition of this type where its status is this one.
    pub(super) fn condition_is(self, kind: &str, status: &str) -> Option<Condition<'a>> {
        self.condition(kind).filter(|condition| condition.status == status)
    }
}
