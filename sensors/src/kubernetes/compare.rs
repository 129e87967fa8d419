//! What is new about an object, next to what is remembered of it: a function of plain values.
//!
//! ```text
//!  remembered   there      → told
//!  nothing      an object  → added; entered, if a selector chose it of those that were there
//!  an object    the same   → modified, if what counts differs
//!  an object    another    → deleted, added        (the same name, another uid)
//!  an object    nothing    → deleted; left, if a selector no longer chooses it
//! ```
//! What counts for nobody is not remembered either: the next comparison is with what was told last.

use std::collections::BTreeSet;

use model::{Map, Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::object::{Entry, Object};
use super::unfit::fits;
use super::ways::Proof;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Operation {
    Added,
    Modified,
    Deleted,
    Entered,
    Left,
}

impl Operation {
    pub(super) const ALL: [Self; 5] =
        [Self::Added, Self::Modified, Self::Deleted, Self::Entered, Self::Left];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
            Self::Entered => "entered",
            Self::Left => "left",
        }
    }
}

/// Something to tell or to remember.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) key: String,
    /// What is told; none: it is only to be remembered.
    pub(super) operation: Option<Operation>,
    /// Those ways of counting in which a modification is one.
    pub(super) counts: BTreeSet<u32>,
    pub(super) uid: String,
    pub(super) version: String,
    /// The object now, or as it was known last.
    pub(super) object: Value,
    /// The object as it was told before.
    pub(super) old: Option<Value>,
    /// Status and reason of its conditions as they were told before, where the object was too large to be
    /// remembered.
    pub(super) conditions: Option<Map>,
    /// What is remembered from then on.
    pub(super) entry: Option<Entry>,
    /// Whether it was there when the sensor looked for the first time.
    pub(super) initial: bool,
}

impl Change {
    /// Whether the object is there no more for whoever is told.
    pub(super) fn is_end(&self) -> bool {
        matches!(self.operation, Some(Operation::Deleted | Operation::Left))
    }

    /// The same next to what was told last.
    fn after(self, entry: &Entry) -> Self {
        Self { old: entry.object(), conditions: entry.conditions(), ..self }
    }
}

/// How it is known that an object is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// By a watch: what is new to it began to be chosen now.
    Watched {
        /// Whether it is known to have been chosen before.
        left_before: bool,
    },
    /// By the first list.
    First,
    /// By a later list.
    Listed {
        /// When all objects were known last, by the API server's clock, or somewhat earlier.
        known_at: Timestamp,
        /// Whether the cluster's versions may be those of another history.
        doubted: bool,
    },
}

/// An object is there.
pub(super) fn present(
    before: Option<&Entry>,
    object: Object,
    heard: Heard,
    selective: bool,
) -> Vec<Change> {
    let Some(entry) = before else { return vec![appeared(object, heard, selective)] };
    if entry.uid != object.uid {
        let gone = absent(entry, &object.key, None);
        return vec![gone, appeared(object, heard, selective)];
    }
    let proof = match heard {
        Heard::Watched { .. } => Proof::Generation,
        Heard::Listed { doubted: true, .. } => Proof::Content,
        Heard::First | Heard::Listed { .. } => Proof::Either,
    };
    let (mut counts, mut unmarked) = (BTreeSet::new(), false);
    for (way, now) in &object.marks {
        match entry.mark(*way) {
            Some(before) if now.differs(&before, proof) => drop(counts.insert(*way)),
            Some(_) => {}
            None => unmarked = true,
        }
    }
    if let Some(owed) = &entry.owed
        && (!counts.is_empty() || fits(&object.value))
    {
        counts.extend(&owed.counts);
        let change = Change { counts, ..told(object, Some(owed.operation)) };
        let news = owed.operation != Operation::Modified;
        return vec![if news { change } else { change.after(entry) }];
    }
    if !counts.is_empty() {
        let change = Change { counts, ..told(object, Some(Operation::Modified)) };
        return vec![change.after(entry)];
    }
    let renumbered = proof == Proof::Content && entry.version != object.version;
    if renumbered || unmarked { vec![told(object, None)] } else { Vec::new() }
}

/// An object is not there, or not chosen, any more; `now` is what it is without being chosen.
pub(super) fn absent(entry: &Entry, key: &str, now: Option<Object>) -> Change {
    let old = entry.object();
    match now {
        Some(object) => Change { old, entry: None, ..told(object, Some(Operation::Left)) },
        None => Change {
            key: key.to_owned(),
            operation: Some(Operation::Deleted),
            counts: BTreeSet::new(),
            uid: entry.uid.clone(),
            version: entry.version.clone(),
            object: old.clone().unwrap_or_else(|| nameless(key)),
            old,
            conditions: None,
            entry: None,
            initial: false,
        },
    }
}

/// An object was deleted; `last` is its last state.
pub(super) fn deleted(before: Option<&Entry>, last: Object) -> Change {
    let old = before.and_then(Entry::object);
    Change { old, entry: None, ..told(last, Some(Operation::Deleted)) }
}

/// All that is known of an object that was too large to be remembered.
fn nameless(key: &str) -> Value {
    let (namespace, name) = match key.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, key),
    };
    serde_json::json!({ "metadata": { "namespace": namespace, "name": name } })
}

fn appeared(object: Object, heard: Heard, selective: bool) -> Change {
    let was_there = match heard {
        Heard::First => false,
        Heard::Watched { left_before } => left_before || object.written_later,
        // The API server's times are whole seconds.
        Heard::Listed { known_at, .. } => {
            object.created.is_some_and(|made| made.as_second() < known_at.as_second())
        }
    };
    let operation = if selective && was_there { Operation::Entered } else { Operation::Added };
    Change { initial: heard == Heard::First, ..told(object, Some(operation)) }
}

fn told(object: Object, operation: Option<Operation>) -> Change {
    Change {
        operation,
        entry: Some(object.entry()),
        counts: BTreeSet::new(),
        old: None,
        conditions: None,
        initial: false,
        key: object.key,
        uid: object.uid,
        version: object.version,
        object: object.value,
    }
}
